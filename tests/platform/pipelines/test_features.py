"""Features are those of the selected windows, whatever the batches; every clip is accounted for."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny_corpus import MICRO, film, write_corpus, write_encoder, write_video

from cico_model.checkpoint import load_sign_encoder
from cico_model.clips import select_windows, window_starts, windows
from cico_platform.corpus.manifest import Corpus, write_manifest
from cico_platform.corpus.video import decode_clip
from cico_platform.errors import InputError
from cico_platform.pipelines import parts
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.stored_features import load_features, pad_features
from cico_platform.steps import Summary

EXACT = FeatureSettings(precision="float32", windows=20)
pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return [write_encoder(folder / "first", 0), write_encoder(folder / "second", 1)]


@pytest.fixture(scope="module")
def extracted(
    tiny_corpus: Path, encoders: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Summary]:
    out = tmp_path_factory.mktemp("features") / "features"
    return out, extract_features(tiny_corpus, list(encoders), 0.25, out, EXACT)


def test_every_clip_is_done_or_in_quarantine_with_its_reason(
    tiny_corpus: Path, extracted: tuple[Path, Summary]
) -> None:
    _, summary = extracted
    sentences = Corpus(tiny_corpus).clips(labelled=False)
    assert (summary.done, summary.quarantined) == (len(sentences) - 2, 2)
    reasons = {row["video_id"]: row["reason"] for row in Corpus(tiny_corpus).quarantined("features")}
    assert set(reasons) == {"text", "outside"}
    assert "not a video" in reasons["text"]
    assert "leads out of" in reasons["outside"]


def test_the_features_are_those_of_the_selected_windows_of_each_encoder(
    tiny_corpus: Path, encoders: list[Path], extracted: tuple[Path, Summary]
) -> None:
    out, _ = extracted
    clip = next(c for c in Corpus(tiny_corpus).clips(labelled=False) if (c.frames or 0) > 40)
    frames = decode_clip(Corpus(tiny_corpus).resolve(clip), size=MICRO.resize).frames
    every = window_starts(len(frames))
    starts = [every[i] for i in select_windows(len(every), 20)]
    for alpha, encoder in ((1.0, encoders[0]), (0.0, encoders[1])):
        found = load_features(out, alpha).select([clip.video_id])
        assert found.window_starts[0].tolist() == starts
        with torch.inference_mode():
            wanted = load_sign_encoder(encoder)[0](windows(frames, starts, MICRO)).embedding
        bound = 1e-4 * float(wanted.abs().max())  # float32's rounding; the rest is that of half precision
        np.testing.assert_allclose(found.values[0].astype(np.float32), wanted.numpy(), rtol=2e-3, atol=bound)


def test_alpha_is_the_first_encoders_share(extracted: tuple[Path, Summary]) -> None:
    out, _ = extracted
    first, second = (load_features(out, alpha).values[0].astype(np.float32) for alpha in (1.0, 0.0))
    mixed = load_features(out)
    assert mixed.alpha == 0.25
    np.testing.assert_allclose(mixed.values[0], 0.25 * first + 0.75 * second, rtol=4e-3, atol=1e-5)


def test_features_do_not_depend_on_the_company_in_a_batch(
    tiny_corpus: Path, encoders: list[Path], extracted: tuple[Path, Summary], tmp_path: Path
) -> None:
    alone = FeatureSettings(precision="float32", windows=20, clips=1)
    extract_features(tiny_corpus, [encoders[0]], None, tmp_path / "alone", alone)
    together, single = load_features(extracted[0], 1.0), load_features(tmp_path / "alone")
    assert together.video_ids == single.video_ids
    for one, other in zip(together.values, single.values, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_same_again_computes_nothing(
    tiny_corpus: Path, encoders: list[Path], extracted: tuple[Path, Summary]
) -> None:
    out, before = extracted
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    summary = extract_features(tiny_corpus, list(encoders), 0.25, out, EXACT)
    assert (summary.done, summary.skipped, summary.quarantined) == (0, before.done, before.quarantined)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_a_run_that_was_cut_goes_on_and_repeats_no_finished_clip(
    tiny_corpus: Path,
    encoders: list[Path],
    extracted: tuple[Path, Summary],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "CLIPS_PER_PART", 3)
    out = tmp_path / "features"

    def cut(done: int, total: int, /, **_: int) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(tiny_corpus, list(encoders), 0.25, out, EXACT, cut)
    (building,) = tmp_path.glob(".features.building-*")
    kept = {path.name: path.read_bytes() for path in building.glob("part-*.parquet")}
    finished = len({name for path in building.glob("part-*.parquet") for name in videos_of(path)})
    assert finished > 0
    reported: list[int] = []
    summary = extract_features(
        tiny_corpus, list(encoders), 0.25, out, EXACT, lambda done, _, /, **__: reported.append(done)
    )
    assert reported[0] >= finished
    assert {name: (out / name).read_bytes() for name in kept} == kept
    assert_same(out, extracted[0], summary)


def videos_of(shard: Path) -> list[str]:
    names: list[str] = pq.read_table(shard, columns=["video_id"])["video_id"].to_pylist()
    return names


def assert_same(out: Path, undisturbed: Path, summary: Summary) -> None:
    """The folder holds the undisturbed run's features, each video once for each encoder."""
    ids = Counter(
        (row["video_id"], row["encoder_id"])
        for shard in out.glob("part-*.parquet")
        for row in pq.read_table(shard, columns=["video_id", "encoder_id"]).to_pylist()
    )
    assert set(ids.values()) == {1}
    assert len(ids) == 2 * summary.done
    ours, theirs = load_features(out), load_features(undisturbed)
    assert ours.video_ids == theirs.video_ids
    for one, other in zip(ours.values, theirs.values, strict=True):
        np.testing.assert_array_equal(one, other)


def test_clips_that_are_added_are_all_that_is_computed(encoders: list[Path], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", train=20, damaged=False)
    clips = Corpus(corpus).clips()
    added = [clip.video_id for clip in clips if clip.label is None][:10]
    fewer = tmp_path / "fewer"
    shutil.copytree(corpus / "videos", fewer / "videos")
    write_manifest(fewer, [clip for clip in clips if clip.video_id not in added])
    out = tmp_path / "features"
    first = extract_features(fewer, [encoders[0]], None, out, EXACT)
    assert (first.done, first.skipped) == (20, 0)

    seen = 0

    def watch(done: int, total: int, /, *, quarantined: int = 0, windows: int = 0) -> None:
        nonlocal seen
        seen = windows

    second = extract_features(corpus, [encoders[0]], None, out, EXACT, watch)
    assert (second.done, second.skipped, second.quarantined) == (10, 20, 0)
    found = load_features(out)
    assert seen == sum(len(starts) for starts in found.select(added).window_starts)
    extract_features(corpus, [encoders[0]], None, tmp_path / "at-once", EXACT)
    at_once = load_features(tmp_path / "at-once")
    assert found.video_ids == at_once.video_ids
    for ours, theirs in zip(found.values, at_once.values, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_only_what_changed_is_computed_again(encoders: list[Path], tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "corpus"), tmp_path / "features"
    extract_features(corpus, [encoders[0]], 0.5, out, EXACT)
    clips = Corpus(corpus).clips()
    write_manifest(corpus, [replace(clip, text=f"{clip.text} indeed") for clip in clips])
    reworded = extract_features(corpus, [encoders[0]], 0.5, out, EXACT)
    assert (reworded.done, reworded.skipped, reworded.quarantined) == (0, 22, 2)
    remixed = extract_features(corpus, [encoders[0]], 0.75, out, EXACT)
    assert (remixed.done, remixed.skipped, remixed.quarantined) == (0, 22, 2)
    write_video(corpus / "videos" / "test-00.mp4", film(["blue", "blue"], 7))
    (corpus / "videos" / "text.mp4").unlink()
    write_video(corpus / "videos" / "text.mp4", film(["red", "red"], 8))
    mended = extract_features(corpus, [encoders[0]], 0.75, out, EXACT)
    assert (mended.done, mended.skipped, mended.quarantined) == (2, 21, 1)
    elsewhere = FeatureSettings(precision="float32", windows=10)
    assert extract_features(corpus, [encoders[0]], 0.75, out, elsewhere).done == 23
    books = pq.read_table(out / "clips.parquet").to_pylist()
    assert Counter(row["outcome"] for row in books) == {"done": 23, "quarantined": 1}
    assert [row["video_id"] for row in books if row["reason"]] == ["outside"]


DRIVER = """
import json, sys, time
from cico_platform.pipelines import features, parts

corpus, first, second, out, log = sys.argv[1:]
describe = features.describe_features

def logged(row, outputs):
    with open(log, "a") as file:
        file.write(row["video_id"] + chr(10))
    time.sleep(0.1)  # a real encoder is no faster
    return describe(row, outputs)

features.describe_features = logged
parts.CLIPS_PER_PART = 10
settings = features.FeatureSettings(precision="float32", windows=20, clips=2)
print(json.dumps(features.extract_features(corpus, [first, second], 0.5, out, settings).as_json()))
"""
KILLS = 10


@pytest.mark.slow
def test_sigkill_of_the_driver_repeats_no_more_than_what_was_in_hand(
    encoders: list[Path], tmp_path: Path
) -> None:
    corpus, out, log = write_corpus(tmp_path / "corpus", train=110), tmp_path / "features", tmp_path / "log"
    rng, written, killed = random.Random(0), 0, 0
    arguments = [sys.executable, "-c", DRIVER, str(corpus), *map(str, encoders)]

    def clips_written() -> int:
        (building, *_) = [*tmp_path.glob(".features.building-*"), tmp_path]
        shards = [*building.glob("part-*.parquet"), *building.glob("tail-*.parquet")]
        try:
            return len({name for shard in shards for name in videos_of(shard)})
        except FileNotFoundError:  # a tail became part of a part
            return 0

    for _ in range(KILLS):
        run = subprocess.Popen([*arguments, str(out), str(log)], start_new_session=True)
        while clips_written() <= written and run.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        os.kill(run.pid, signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        written = clips_written()
    assert killed >= KILLS - 2, "the runs ended before they could be killed"
    done = subprocess.run([*arguments, str(out), str(log)], check=True, capture_output=True, text=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["done"], summary["quarantined"]) == (120, 2)
    encoded = [name for name in log.read_text().split() if name not in ("text", "outside")]
    in_hand_and_on_its_way = 2 * 2
    assert len(encoded) <= 120 + in_hand_and_on_its_way * killed
    nowhere = str(tmp_path / "nowhere")
    subprocess.run([*arguments, str(tmp_path / "undisturbed"), nowhere], check=True, capture_output=True)
    assert_same(out, tmp_path / "undisturbed", Summary(summary["done"]))


def test_what_cannot_be_encoded_is_refused_with_a_reason(
    tiny_corpus: Path, encoders: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        extract_features(tiny_corpus, list(encoders), 1.5, tmp_path / "a")
    with pytest.raises(InputError, match="one or two"):
        extract_features(tiny_corpus, [*encoders, encoders[0]], None, tmp_path / "b")
    with pytest.raises(InputError, match="not a checkpoint"):
        extract_features(tiny_corpus, [tmp_path], None, tmp_path / "c")
    with pytest.raises(InputError, match="holds no features"):
        load_features(tmp_path)


def test_padding_is_marked_invalid() -> None:
    features, valid = pad_features([np.ones((2, 3), np.float16), np.ones((4, 3), np.float16)])
    assert features.shape == (2, 4, 3)
    assert valid.tolist() == [[True, True, False, False], [True] * 4]
    assert features[0, 2:].eq(0).all()
