"""Features are those of the selected windows, whatever the batches; every clip is accounted for."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from feature_shards import assert_same, videos_of
from tiny_corpus import MICRO, film, write_encoder, write_video

from cico_model.checkpoint import load_sign_encoder, save_sign_encoder
from cico_model.clips import select_windows, window_starts, windows
from cico_model.sign_encoder import SignOutput
from cico_platform.corpus.manifest import Corpus, write_manifest
from cico_platform.corpus.video import decode_clip
from cico_platform.encoding.video_tokens import pad_rows
from cico_platform.errors import CicoError, InputError
from cico_platform.pipelines.encoders import _fault
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.mine import MineSettings, mine
from cico_platform.pipelines.stored_features import load_features
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
    """By workers; other tests extract in this process, as few clips are."""
    out = tmp_path_factory.mktemp("features") / "features"
    by_workers = EXACT.model_copy(update={"here": 0})
    with opened_files() as opened:
        summary = extract_features(tiny_corpus, list(encoders), 0.25, out, by_workers)
    assert not [path for path in opened if "/videos/" in path], "the driver opened a file of the corpus"
    assert not [path for path in opened if "/shard-" in path and path.endswith(".partial")], (
        "or wrote a shard"
    )
    assert opened
    return out, summary


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Paths that this process opens; an audit hook stays for the life of a process."""
    paths, active = list[str](), [True]

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if active and event in ("open", "os.scandir", "os.listdir"):
            paths.append(str(arguments[0]))

    sys.addaudithook(note)
    yield paths
    active.clear()


def test_every_clip_is_done_or_in_quarantine_with_its_reason(
    tiny_corpus: Path, extracted: tuple[Path, Summary]
) -> None:
    _, summary = extracted
    sentences = list(Corpus(tiny_corpus).clips(labelled=False))
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


@dataclass(frozen=True)
class Cut:
    """A run that was interrupted and gone on with.

    Attributes
    ----------
    finished
        Clips that were written when it was interrupted.
    reported
        Clips that the second run told as done, in turn.
    """

    out: Path
    finished: int
    reported: list[int]
    summary: Summary


@pytest.fixture(scope="module")
def cut(tiny_corpus: Path, encoders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Cut:
    """Batches of one clip each, interrupted after ten of them."""
    home, reported = tmp_path_factory.mktemp("cut"), list[int]()
    alone = EXACT.model_copy(update={"clips": 1})

    def interrupt(done: int, total: int, /, **_: int) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(tiny_corpus, list(encoders), 0.25, home / "features", alone, interrupt)
    (building,) = home.glob(".features.building-*")
    shards = list(building.glob("shard-*.parquet"))
    finished = len({name for path in shards for name in videos_of(path)})
    summary = extract_features(
        tiny_corpus,
        list(encoders),
        0.25,
        home / "features",
        alone,
        lambda done, _, /, **__: reported.append(done),
    )
    return Cut(home / "features", finished, reported, summary)


def test_features_do_not_depend_on_the_company_in_a_batch(cut: Cut, extracted: tuple[Path, Summary]) -> None:
    for alpha in (1.0, 0.0):
        together, single = load_features(extracted[0], alpha), load_features(cut.out, alpha)
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
    cut: Cut, extracted: tuple[Path, Summary]
) -> None:
    assert cut.finished > 0
    assert cut.reported[0] >= cut.finished
    (part,) = cut.out.glob("*-*.parquet")
    assert len(set(videos_of(part))) == cut.summary.done
    assert_same(cut.out, extracted[0], cut.summary)


def test_clips_that_are_added_are_all_that_is_computed(
    tiny_corpus: Path, encoders: list[Path], extracted: tuple[Path, Summary], tmp_path: Path
) -> None:
    clips = list(Corpus(tiny_corpus).clips())
    sound = [clip.video_id for clip in clips if clip.label is None and clip.frames]
    added = sound[:10]
    fewer = tmp_path / "fewer"
    shutil.copytree(tiny_corpus / "videos", fewer / "videos")
    write_manifest(fewer, [clip for clip in clips if clip.video_id not in added])
    out = tmp_path / "features"
    first = extract_features(fewer, list(encoders), 0.25, out, EXACT)
    assert (first.done, first.skipped, first.quarantined) == (len(sound) - 10, 0, 2)

    seen = 0

    def watch(done: int, total: int, /, *, quarantined: int = 0, windows: int = 0) -> None:
        nonlocal seen
        seen = windows

    second = extract_features(tiny_corpus, list(encoders), 0.25, out, EXACT, watch)
    assert (second.done, second.skipped, second.quarantined) == (10, len(sound) - 10, 2)
    found = load_features(out)
    assert seen == sum(len(starts) for starts in found.select(added).window_starts)
    at_once = load_features(extracted[0])
    assert found.video_ids == at_once.video_ids
    for ours, theirs in zip(found.values, at_once.values, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_only_what_changed_is_computed_again(
    tiny_corpus: Path, encoders: list[Path], extracted: tuple[Path, Summary], tmp_path: Path
) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "features"
    shutil.copytree(tiny_corpus, corpus)
    shutil.copytree(extracted[0], out)
    clips = list(Corpus(corpus).clips())
    write_manifest(corpus, [replace(clip, text=f"{clip.text} indeed") for clip in clips])
    reworded = extract_features(corpus, list(encoders), 0.25, out, EXACT)
    assert (reworded.done, reworded.skipped, reworded.quarantined) == (0, 22, 2)
    remixed = extract_features(corpus, list(encoders), 0.75, out, EXACT)
    assert (remixed.done, remixed.skipped, remixed.quarantined) == (0, 22, 2)
    write_video(corpus / "videos" / "test-00.mp4", film(["blue", "blue"], 7))
    (corpus / "videos" / "text.mp4").unlink()
    write_video(corpus / "videos" / "text.mp4", film(["red", "red"], 8))
    mended = extract_features(corpus, list(encoders), 0.75, out, EXACT)
    assert (mended.done, mended.skipped, mended.quarantined) == (2, 21, 1)
    elsewhere = FeatureSettings(precision="float32", windows=10)
    assert extract_features(corpus, [encoders[0]], 0.75, out, elsewhere).done == 23
    books = pq.read_table(out / "clips.parquet").to_pylist()
    assert Counter(row["outcome"] for row in books) == {"done": 23, "quarantined": 1}
    assert [row["video_id"] for row in books if row["reason"]] == ["outside"]


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


def test_clips_whose_features_are_no_numbers_go_into_quarantine_and_say_so(
    tiny_corpus: Path, encoders: list[Path], tmp_path: Path
) -> None:
    """As of an encoder whose training has diverged, or whose file was damaged."""
    encoder, labels = load_sign_encoder(encoders[1])
    with torch.no_grad():
        for part in encoder.modules():
            if isinstance(part, torch.nn.BatchNorm3d):
                part.bias.fill_(1e6)
    save_sign_encoder(tmp_path / "broken", encoder, labels, {})
    for call in (
        lambda: extract_features(
            tiny_corpus, [encoders[0], tmp_path / "broken"], None, tmp_path / "a", EXACT
        ),
        lambda: mine(tiny_corpus, tmp_path / "broken", tmp_path / "b", MineSettings(precision="float32")),
    ):
        with pytest.raises(CicoError, match=r"none of .* clips could be used; .*features are not finite"):
            call()
    held = torch.zeros(3, 2)
    good, bad = SignOutput(held, torch.ones(3, 4)), SignOutput(held, torch.full((3, 4), 1e6))
    assert [not _fault(outputs) for outputs in ([good, good], [good, bad], [])] == [True, False, True]


def test_padding_is_marked_invalid() -> None:
    features, valid = pad_rows([np.ones((2, 3), np.float16), np.ones((4, 3), np.float16)])
    assert features.shape == (2, 4, 3)
    assert valid.tolist() == [[True, True, False, False], [True] * 4]
    assert features[0, 2:].eq(0).all()
