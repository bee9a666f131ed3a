"""Damaged files cost themselves; a worker or a node that dies costs time: nothing is lost or doubled."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from damaged_videos import write_damaged
from tiny_corpus import LABELS, film, write_corpus, write_encoder, write_video

from cico_platform.corpus.manifest import Clip, Corpus, write_manifest
from cico_platform.observability.memory import PeakMemory
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.stored_features import load_features

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]
SETTINGS = FeatureSettings(precision="float32", windows=20)
GOOD = DAMAGED = 200


@pytest.fixture(scope="module")
def undisturbed(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A corpus of 160 sentences, an encoder, and their features as nothing disturbed them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    corpus = write_corpus(folder / "corpus", train=150, damaged=False)
    encoder = write_encoder(folder / "encoder", 0)
    settings = SETTINGS.model_copy(update={"clips": 2})
    extract_features(corpus, [encoder], None, folder / "features", settings)
    return corpus, encoder, folder / "features"


def clip(name: str, path: Path) -> Clip:
    return Clip(name, f"t-{name}", "test", str(path), name, name)


def assert_same_features(out: Path, wanted: Path) -> None:
    """Every clip once, with the features of the undisturbed run."""
    shards = out.glob("part-*.parquet")
    names = Counter(n for s in shards for n in pq.read_table(s, columns=["video_id"])["video_id"].to_pylist())
    assert set(names.values()) == {1}
    found, expected = load_features(out), load_features(wanted)
    assert found.video_ids == expected.video_ids
    for ours, theirs in zip(found.values, expected.values, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def map_workers() -> list[tuple[str, psutil.Process]]:
    """Workers of this process' own Ray, by title; other tests may run beside."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append((process.name(), process))
    return [(name, process) for name, process in found if name.startswith("ray::Map")]


def test_two_hundred_damaged_files_among_two_hundred_good_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = [tmp_path / "good" / f"{number}.mp4" for number in range(20)]
    for number, path in enumerate(videos):
        write_video(path, film([LABELS[i] for i in rng.integers(0, len(LABELS), 3)], number))
    damaged = write_damaged(tmp_path / "damaged", videos[0].read_bytes(), DAMAGED)
    good = [clip(f"good-{i:03d}", videos[i % len(videos)]) for i in range(GOOD)]
    bad = [clip(f"bad-{i:03d}", path) for i, path in enumerate(damaged)]
    write_manifest(tmp_path / "clean", good)
    write_manifest(tmp_path / "mixed", [c for pair in zip(good, bad, strict=True) for c in pair])
    encoder = write_encoder(tmp_path / "encoder", 0)
    with PeakMemory() as clean:
        extract_features(tmp_path / "clean", [encoder], None, tmp_path / "clean-features", SETTINGS)
    with PeakMemory() as mixed:
        summary = extract_features(tmp_path / "mixed", [encoder], None, tmp_path / "features", SETTINGS)
    assert summary.done + summary.quarantined == GOOD + DAMAGED
    found = load_features(tmp_path / "features")
    assert {c.video_id for c in good} <= set(found.video_ids)
    quarantined = Corpus(tmp_path / "mixed").quarantined("features")
    assert {row["video_id"] for row in quarantined} | set(found.video_ids) == {c.video_id for c in good + bad}
    assert len(quarantined) == summary.quarantined > DAMAGED / 4
    assert all(row["reason"] and "Traceback" not in row["reason"] for row in quarantined)
    expected = load_features(tmp_path / "clean-features")
    for ours, clean_features in zip(found.select(expected.video_ids).values, expected.values, strict=True):
        np.testing.assert_allclose(ours, clean_features, atol=1e-5)
    assert mixed.gib <= 1.5 * clean.gib, (mixed.by_title, clean.by_title)


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    videos = [tmp_path / "videos" / f"{number}.mp4" for number in range(10)]
    for number, path in enumerate(videos):
        write_video(path, film([LABELS[number % len(LABELS)]] * 2, number))
    encoder, peaks = write_encoder(tmp_path / "encoder", 0), []
    for count in (100, 1000):
        corpus = tmp_path / f"corpus-{count}"
        write_manifest(corpus, [clip(f"c-{i:04d}", videos[i % len(videos)]) for i in range(count)])
        with PeakMemory() as peak:
            extract_features(corpus, [encoder], None, tmp_path / f"features-{count}", SETTINGS)
        peaks.append(peak.gib)
    assert peaks[1] <= 1.2 * peaks[0]


def test_sigkill_of_workers_loses_nothing_and_doubles_nothing(
    undisturbed: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    corpus, encoder, features = undisturbed
    settings = SETTINGS.model_copy(update={"clips": 2})
    rng, killed = random.Random(0), list[str]()

    def kill_sometimes(done: int, total: int, /, **_: int) -> None:
        if done >= 14 * (len(killed) + 1) and len(killed) < 10:
            workers = map_workers()
            if workers:
                name, victim = rng.choice(workers)
                killed.append(name)
                os.kill(victim.pid, signal.SIGKILL)

    summary = extract_features(corpus, [encoder], None, tmp_path / "features", settings, kill_sometimes)
    assert len(killed) == 10
    assert (summary.done, summary.quarantined) == (160, 0)
    assert_same_features(tmp_path / "features", features)


NODES = """
import json, sys
import ray
from ray.cluster_utils import Cluster
from cico_platform.cluster import connect
from cico_platform.pipelines.features import FeatureSettings, extract_features

corpus, encoder, out = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 200 << 20})
others = [cluster.add_node(num_cpus=2, object_store_memory=200 << 20) for _ in range(2)]
cluster.wait_for_nodes(timeout=180)
connect(cluster.address)
before = sum(node["Alive"] for node in ray.nodes())
removed = []

def remove_one(done, total, **_):
    if done >= 30 and not removed:
        removed.append(done)
        cluster.remove_node(others[0], allow_graceful=False)

settings = FeatureSettings(precision="float32", windows=20, clips=2, threads=1)
summary = extract_features(corpus, [encoder], None, out, settings, remove_one)
alive = sum(node["Alive"] for node in ray.nodes())
counts = {"done": summary.done, "quarantined": summary.quarantined}
print(json.dumps({"before": before, "alive": alive, **counts}))
ray.shutdown()
cluster.shutdown()
"""


def test_a_node_that_dies_costs_no_clip(undisturbed: tuple[Path, Path, Path], tmp_path: Path) -> None:
    corpus, encoder, features = undisturbed
    command = [sys.executable, "-c", NODES, str(corpus), str(encoder), str(tmp_path / "disturbed")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    told = json.loads(run.stdout.splitlines()[-1])
    assert told == {"before": 3, "alive": 2, "done": 160, "quarantined": 0}
    assert_same_features(tmp_path / "disturbed", features)
