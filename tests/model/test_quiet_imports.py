"""OpenVINO and NNCF report nothing to their maker when this library uses them."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event in ("os.fork", "socket.connect") else None)
import torch
from torch import nn
from cico_model.engines import openvino_engine
network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
clips = torch.zeros(3, 1, 4)
infer = openvino_engine(bfloat16=False, threads=1, calibration=clips)(network, (1, 1, 4))
assert infer(clips[:1])[0].shape == (1, 2)
assert started == [], started
"""


def test_a_network_is_compiled_and_quantised_without_a_report(tmp_path: Path) -> None:
    kept_from_reporting = ("CI", "TF_BUILD", "JENKINS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in kept_from_reporting}
    run = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        run, env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists(), "OpenVINO keeps the identity that it reports there"
