"""Trainings end with the weights of an undisturbed run, whoever dies, however many workers there are."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from tiny_corpus import MICRO
from word_features import write_word_features

from cico_model.checkpoint import load_sign_encoder
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import CicoError
from cico_platform.evaluation.evaluate import evaluate
from cico_platform.training.retrieval import RetrievalSettings, train_retrieval
from cico_platform.training.sign_encoder import SignEncoderSettings, train_sign_encoder

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("ray_cluster")]
SETTINGS: dict[str, Any] = {"batch_size": 32, "evaluate_every": 1000, "lr": 1e-3}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_word_features(tmp_path_factory.mktemp("words"))


def settings(workers: int = 1, interval: float = 0.3, **values: Any) -> RetrievalSettings:
    run = {"workers": workers, "threads": 1, "checkpoint_seconds": interval}
    return RetrievalSettings.model_validate({**SETTINGS, **values, "run": run})


def weights(out: Path) -> dict[str, torch.Tensor]:
    return dict(load_retrieval_model(out).state_dict())


def assert_close_weights(out: Path, expected: Path) -> None:
    """To 1e-5, but for the bias of attention's keys.

    What is added to all keys alike changes no attention: that bias has no gradient but rounding errors, and
    Adam makes steps of them that are as long as any.
    """
    right = weights(expected)
    for name, value in weights(out).items():
        if name.endswith("qkv.bias"):
            (query, _, rest), (right_query, _, right_rest) = value.chunk(3), right[name].chunk(3)
            torch.testing.assert_close(query, right_query, rtol=0, atol=1e-5, msg=name)
            torch.testing.assert_close(rest, right_rest, rtol=0, atol=1e-5, msg=name)
        else:
            torch.testing.assert_close(value, right[name], rtol=0, atol=1e-5, msg=name)


def history(out: Path) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((out / "metrics.json").read_text())["history"]
    return found


def train_workers() -> list[psutil.Process]:
    """The processes that train, of this test's own Ray."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if "RayTrainWorker" in " ".join(process.cmdline() or [])]


class Killer:
    """Kills a training worker now and then, told by the run's progress."""

    def __init__(self, times: int, steps: int) -> None:
        rng = random.Random(1)
        self.moments = sorted(rng.sample(range(steps // 20, steps - steps // 20), times))
        self.rng, self.killed, self.repeated, self._last = rng, 0, list[int](), 0

    def __call__(self, done: int, total: int, /, **_: Any) -> None:
        self._last = max(self._last, done)
        if self.killed < len(self.moments) and done >= self.moments[self.killed]:
            found = train_workers()
            if found:
                self.rng.choice(found).send_signal(signal.SIGKILL)
                self.killed += 1


def test_any_number_of_workers_trains_alike(words: tuple[Path, Path], tmp_path: Path) -> None:
    curves, found = [], []
    for count in (1, 2, 3, 4):
        out = tmp_path / str(count)
        rows: list[dict[str, Any]] = []
        train_retrieval(*words, out, settings(count, epochs=17, dropout=0.0), on_row=[rows.append])
        assert {row["workers"] for row in rows} == {count}
        curves.append([row["loss"] for row in history(out)])
        report = evaluate(*words, out, "test", tmp_path / f"report-{count}").details
        found.append({way: report[way] for way in ("t2v", "v2t")})
    assert len(curves[0]) == 17  # of three steps each
    for curve in curves[1:]:
        np.testing.assert_allclose(curve, curves[0], rtol=0, atol=1e-5)
    for other in found[1:]:
        assert other == found[0]
    for count in (2, 3, 4):
        assert_close_weights(tmp_path / str(count), tmp_path / "1")


def test_ten_workers_are_killed_and_the_weights_are_those_of_an_undisturbed_run(
    words: tuple[Path, Path], tmp_path: Path
) -> None:
    epochs = 240
    train_retrieval(*words, tmp_path / "undisturbed", settings(epochs=epochs))
    killer = Killer(10, 3 * epochs)
    train_retrieval(*words, tmp_path / "killed", settings(epochs=epochs), on_progress=killer)
    assert killer.killed == 10
    expected = weights(tmp_path / "undisturbed")
    for name, value in weights(tmp_path / "killed").items():
        assert torch.equal(value, expected[name]), name
    assert history(tmp_path / "killed") == history(tmp_path / "undisturbed")


def test_of_two_workers_one_is_killed_three_times(words: tuple[Path, Path], tmp_path: Path) -> None:
    epochs = 80
    train_retrieval(*words, tmp_path / "undisturbed", settings(2, epochs=epochs))
    killer = Killer(3, 3 * epochs)
    train_retrieval(*words, tmp_path / "killed", settings(2, epochs=epochs), on_progress=killer)
    assert killer.killed == 3
    assert_close_weights(tmp_path / "killed", tmp_path / "undisturbed")


DRIVER = """
import sys
from cico_platform.training.retrieval import RetrievalSettings, train_retrieval
run = {"threads": 1, "checkpoint_seconds": 0.3}
values = dict(batch_size=32, evaluate_every=1000, lr=1e-3, epochs=200, run=run)
settings = RetrievalSettings.model_validate(values)
train_retrieval(*sys.argv[1:], settings)
"""


def steps_saved(folder: Path) -> int:
    found = [
        int(path.stem.partition("-")[2]) for path in folder.glob(".killed.building-*/checkpoints/*.json")
    ]
    return max(found, default=0)


def test_the_driver_is_killed_five_times(words: tuple[Path, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, *map(str, words), str(tmp_path / "killed")]
    moments = sorted(random.Random(2).sample(range(20, 500), 5))
    for moment in moments:
        run = subprocess.Popen(command, start_new_session=True)
        while steps_saved(tmp_path) < moment:
            assert run.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    subprocess.run(command, check=True)
    train_retrieval(*words, tmp_path / "undisturbed", settings(epochs=200))
    expected = weights(tmp_path / "undisturbed")
    for name, value in weights(tmp_path / "killed").items():
        assert torch.equal(value, expected[name]), name
    assert history(tmp_path / "killed") == history(tmp_path / "undisturbed")


NODES = """
import json, subprocess, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from cico_platform.cluster import connect
from cico_platform.training.retrieval import RetrievalSettings, train_retrieval

corpus, features, out, disturb = sys.argv[1:]
node = {"num_cpus": 1, "object_store_memory": 200 << 20}
cluster = Cluster(initialize_head=True, head_node_args=node)
other = cluster.add_node(**node)
cluster.wait_for_nodes(timeout=180)
connect(cluster.address)
run = {"workers": 2, "min_workers": 1, "threads": 1, "checkpoint_seconds": 1.0, "resize_seconds": 1.0}
# Slow steps, one an epoch: Ray looks for new nodes every twenty seconds only.
settings = RetrievalSettings.model_validate(
    dict(size="small", batch_size=96, evaluate_every=10000, lr=1e-4, epochs=120, dropout=0.0, run=run)
)
counts, started, state = [], [], {"gone": 0, "back": 0}

def watch(row):
    if not counts or counts[-1] != row["workers"]:
        counts.append(row["workers"])
    if disturb == "yes" and not state["gone"] and row["workers"] == 2 and row["step"] > 8:
        state["gone"] = row["step"]
        cluster.remove_node(other, allow_graceful=False)
    elif state["gone"] and not state["back"] and row["workers"] == 1 and row["step"] > state["gone"] + 4:
        state["back"] = row["step"]
        # Rows come in a thread, where the cluster's own add_node does not work.
        start = [str(Path(sys.executable).with_name("ray")), "start", f"--address={cluster.address}"]
        sizes = ["--block", "--num-cpus=1", f"--object-store-memory={200 << 20}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([*start, *sizes], **quiet))

train_retrieval(corpus, features, out, settings, on_row=[watch])
print(json.dumps({"counts": counts, **state}))
ray.shutdown()
for process in started:
    process.terminate()
    process.wait()
cluster.shutdown()
"""


@pytest.mark.timeout(1000)
def test_a_node_goes_and_comes_back_and_the_run_goes_on_with_what_there_is(
    words: tuple[Path, Path], tmp_path: Path
) -> None:
    told = {}
    for name, disturb in (("whole", "no"), ("disturbed", "yes")):
        command = [sys.executable, "-c", NODES, *map(str, words), str(tmp_path / name), disturb]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
        assert run.returncode == 0, run.stderr[-3000:]
        told[name] = json.loads(run.stdout.splitlines()[-1])
    assert told["whole"]["counts"] == [2]
    assert told["disturbed"]["counts"] == [2, 1, 2]
    assert_close_weights(tmp_path / "disturbed", tmp_path / "whole")


def test_the_sign_encoder_s_worker_is_killed_in_the_middle_of_an_epoch(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    run = {"threads": 1, "checkpoint_seconds": 0.1}
    plan = SignEncoderSettings.model_validate(
        {"width": MICRO.width, "frame_size": MICRO.frame_size, "batch_size": 4, "epochs": 12,
         "windows_per_sample": 8, "run": run}
    )  # fmt: skip
    train_sign_encoder(tiny_corpus, tmp_path / "undisturbed", plan)
    killer = Killer(3, 12 * 32)
    train_sign_encoder(tiny_corpus, tmp_path / "killed", plan, on_progress=killer)
    assert killer.killed == 3
    expected = load_sign_encoder(tmp_path / "undisturbed")[0].state_dict()
    for name, value in load_sign_encoder(tmp_path / "killed")[0].state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_full_disk_is_said_and_what_was_written_stays(words: tuple[Path, Path], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        with pytest.raises(CicoError, match="no space is left for a checkpoint"):
            train_retrieval(*words, disk / "model", settings(epochs=200))
        assert not (disk / "model").exists()
        kept = list(disk.glob(".model.building-*/checkpoints/*.json"))
        assert len(kept) >= 1
        assert not list(disk.rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
        train_retrieval(*words, disk / "model", settings(epochs=200))
        train_retrieval(*words, tmp_path / "undisturbed", settings(epochs=200))
        expected = weights(tmp_path / "undisturbed")
        assert all(torch.equal(value, expected[name]) for name, value in weights(disk / "model").items())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
