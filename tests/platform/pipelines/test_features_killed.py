"""A driver that is killed again and again repeats hardly anything, and the features are the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from feature_shards import assert_same, videos_of
from tiny_corpus import write_corpus, write_encoder

from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.steps import Summary

DRIVER = """
import json, sys, time
from cico_platform.pipelines import features

corpus, first, second, out, log = sys.argv[1:]

class Logged(features.FeatureRows):
    def table(self, clips):
        with open(log, "a") as file:
            file.write("".join(clip.batch.video_id + chr(10) for clip in clips))
        time.sleep(0.1 * len(clips))  # a real encoder is no faster
        return super().table(clips)

features.FeatureRows = Logged
settings = features.FeatureSettings(precision="float32", windows=20, clips=2)
print(json.dumps(features.extract_features(corpus, [first, second], 0.5, out, settings).as_json()))
"""


@pytest.mark.parametrize(
    "kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.chaos)]
)
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("ray_cluster")
def test_sigkill_of_the_driver_repeats_no_more_than_what_was_in_hand(kills: int, tmp_path: Path) -> None:
    encoders = [write_encoder(tmp_path / f"encoder-{seed}", seed) for seed in (0, 1)]
    corpus, out, log = write_corpus(tmp_path / "corpus", train=110), tmp_path / "features", tmp_path / "log"
    rng, written, killed = random.Random(0), 0, 0
    arguments = [sys.executable, "-c", DRIVER, str(corpus), *map(str, encoders)]

    def clips_written() -> int:
        (building, *_) = [*tmp_path.glob(".features.building-*"), tmp_path]
        shards = [*building.glob("part-*.parquet"), *building.glob("shard-*.parquet")]
        try:
            return len({name for shard in shards for name in videos_of(shard)})
        except FileNotFoundError:  # a shard became part of a part
            return 0

    for _ in range(kills):
        run = subprocess.Popen([*arguments, str(out), str(log)], start_new_session=True)
        while clips_written() <= written and run.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        os.kill(run.pid, signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        written = clips_written()
    assert killed >= kills - 2, "the runs ended before they could be killed"
    done = subprocess.run([*arguments, str(out), str(log)], check=True, capture_output=True, text=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["done"], summary["quarantined"]) == (120, 2)
    encoded = [name for name in log.read_text().split() if name not in ("text", "outside")]
    in_hand_and_on_its_way = 2 * 2
    assert len(encoded) <= 120 + in_hand_and_on_its_way * killed
    settings = FeatureSettings(precision="float32", windows=20)
    extract_features(corpus, list(encoders), 0.5, tmp_path / "undisturbed", settings)
    assert_same(out, tmp_path / "undisturbed", Summary(summary["done"]))
