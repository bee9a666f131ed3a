"""The synthetic corpus is what it says: reproducible, real video, splits that share no sentence or signer."""

import hashlib
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cico_platform.corpus.manifest import read_manifest
from cico_platform.corpus.manifest_rows import keys_now, keys_of_unchanged
from cico_platform.corpus.synthesis import SynthesisSettings, synthesize
from cico_platform.corpus.synthesis.filming import rehearse, shoot
from cico_platform.corpus.synthesis.lexicon import LEXICON
from cico_platform.corpus.synthesis.screenplay import Shot, screenplay
from cico_platform.errors import InputError
from cico_platform.settings import validated


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    return screenplay(SynthesisSettings())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Path:
    out = tmp_path_factory.mktemp("synthesis") / "corpus"
    summary = synthesize(out, SynthesisSettings.small(seed=3))
    assert (summary.done, summary.quarantined) == (len(list((out / "videos").glob("*.mp4"))), 0)
    return out


def _sentences(shots: list[Shot], split: str) -> list[Shot]:
    return [shot for shot in shots if shot.label is None and shot.split == split]


def _digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("videos/*.mp4"))}


# The lexicon


def test_the_default_corpus_is_as_large_as_promised(shots: list[Shot]) -> None:
    texts = {
        split: len({s.text_id for s in _sentences(shots, split)}) for split in ("train", "validation", "test")
    }
    assert texts["train"] >= 600
    assert texts["validation"] >= 100
    assert texts["test"] >= 200
    dictionary = [shot for shot in shots if shot.label]
    assert {shot.label for shot in dictionary} == {gloss.lower() for gloss in LEXICON}
    assert {shot.split for shot in dictionary} == {"train", "validation"}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_sentence_of_a_held_out_split_occurs_elsewhere_in_words_or_signs(seed: int) -> None:
    shots = screenplay(SynthesisSettings(seed=seed))
    for first, second in combinations(("train", "validation", "test"), 2):
        a, b = _sentences(shots, first), _sentences(shots, second)
        assert not {s.text for s in a} & {s.text for s in b}
        assert not {s.take.glosses for s in a} & {s.take.glosses for s in b}
    for split in ("validation", "test"):
        held = _sentences(shots, split)
        assert len({s.text for s in held}) == len({s.take.glosses for s in held}) == len(held)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_sign_occurs_often_in_training(seed: int) -> None:
    shots = screenplay(SynthesisSettings(seed=seed))
    count = Counter(gloss for shot in _sentences(shots, "train") for gloss in shot.take.glosses)
    assert min(count[gloss] for gloss in LEXICON) >= 10


def test_signers_of_one_split_and_domain_are_in_no_other(shots: list[Shot]) -> None:
    groups: dict[tuple[bool, str], set[str]] = {}
    for shot in shots:
        groups.setdefault((shot.label is None, shot.split), set()).add(shot.take.who.name)
    assert len(groups) == 5
    for a, b in combinations(groups.values(), 2):
        assert not a & b


def test_sentences_have_three_to_seven_signs(shots: list[Shot]) -> None:
    lengths = [len(shot.take.glosses) for shot in shots if shot.label is None]
    assert (min(lengths), max(lengths)) == (3, 7)
    assert 4.0 < np.mean(lengths) < 5.0


def test_many_test_sentences_have_a_twin_that_differs_in_one_sign_or_in_the_order_alone(
    shots: list[Shot],
) -> None:
    signs = [shot.take.glosses for shot in _sentences(shots, "test")]
    near, swapped = set(), set()
    for a, b in combinations(signs, 2):
        if len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1:
            near |= {a, b}
        if sorted(a) == sorted(b):
            swapped |= {a, b}
    assert len(near) > len(signs) / 2
    assert len(swapped) >= 10, "who does what to whom should matter"


def test_text_and_signs_differ_as_languages_do(shots: list[Shot]) -> None:
    sentences = [shot for shot in shots if shot.label is None]
    wordings: dict[tuple[str, ...], set[str]] = {}
    for shot in sentences:
        wordings.setdefault(shot.take.glosses, set()).add(shot.text)
    assert sum(len(texts) > 1 for texts in wordings.values()) >= 20, "some signing is written in several ways"
    texts = " ".join(f" {shot.text} " for shot in sentences)
    for words in (
        "the",
        "ice cream",
        "look for",
        "search for",
        "does",
        "mum",
        "mother",
        "bought",
        "will",
        "me",
    ):
        assert f" {words} " in texts
    for shot in sentences:
        if "I" in shot.take.glosses and shot.text.startswith("i "):
            assert shot.take.glosses[0] != "I", "the one who acts is written first and signed late"
            break
    for shot in sentences:
        assert shot.text == shot.text.lower().strip()
        assert shot.text_original[0].isupper()
        assert shot.text_original[-1] in ".?"


def test_a_sign_in_a_sentence_is_faster_than_alone(shots: list[Shot]) -> None:
    alone = [rehearse(shot.take) for shot in shots[::40] if shot.label]
    sentences = [(rehearse(shot.take), shot) for shot in shots[::20] if shot.label is None]
    assert 17 <= np.mean([take.frames for take in alone]) <= 26
    per_sign = [take.frames / len(shot.take.glosses) for take, shot in sentences]
    assert 8 <= np.mean(per_sign) <= 13


def test_a_corpus_without_a_dictionary_has_the_same_sentences_and_a_dictionary_alone_the_same_signs(
    shots: list[Shot],
) -> None:
    sentences = [shot for shot in shots if shot.label is None]
    assert screenplay(SynthesisSettings(dictionary_signers=0)) == sentences
    alone = screenplay(SynthesisSettings(train=0, validation=0, test=0))
    assert alone == [shot for shot in shots if shot.label]


def test_a_single_person_of_a_dictionary_is_in_its_training_split() -> None:
    alone = screenplay(SynthesisSettings(dictionary_signers=1, train=0, validation=0, test=0))
    assert {shot.split for shot in alone} == {"train"}


def test_a_corpus_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        validated(SynthesisSettings, {"dictionary_signers": 0, "train": 0, "validation": 0, "test": 0})


# The videos


def test_the_files_are_videos_of_the_declared_length_and_the_box_is_a_square_in_the_frame(
    corpus: Path,
) -> None:
    rows = read_manifest(corpus).to_pylist()
    assert {(row["label"] is None, row["split"]) for row in rows} == {
        (False, "train"), (False, "validation"), (True, "train"), (True, "validation"), (True, "test"),
    }  # fmt: skip
    for row in rows:
        with av.open(str(corpus / row["path"])) as video:
            stream = video.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert float(stream.average_rate or 0) == row["fps"] == 25.0
            assert sum(1 for _ in video.decode(stream)) == row["frames"]
            width, height = stream.codec_context.width, stream.codec_context.height
        x0, y0, x1, y1 = row["crop"]
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert (x1 - x0) * width == pytest.approx((y1 - y0) * height, abs=1.5)


def test_no_later_step_needs_to_read_the_files_for_their_keys(corpus: Path) -> None:
    rows = np.arange(len(read_manifest(corpus)))
    known = keys_of_unchanged(corpus, rows)
    assert not known.null_count
    assert known.equals(keys_now(corpus, rows))


def test_the_truth_beside_the_manifest_covers_every_sentence_in_order(corpus: Path) -> None:
    truth = json.loads((corpus / "glosses.json").read_text())
    rows = {row["video_id"]: row for row in read_manifest(corpus).to_pylist() if row["label"] is None}
    assert set(truth) == set(rows)
    for name, spans in truth.items():
        starts = [start for _, start, _ in spans]
        assert starts == sorted(starts)
        assert all(0 <= start < end <= rows[name]["frames"] for _, start, end in spans)


@pytest.mark.parametrize(
    ("left_out", "domain"),
    [({"dictionary_signers": 0}, "target"), ({"train": 0, "validation": 0, "test": 0}, "dictionary")],
)
def test_half_a_corpus_has_the_same_files_as_the_whole(
    corpus: Path, tmp_path: Path, ray_cluster: None, left_out: dict[str, int], domain: str
) -> None:
    half = tmp_path / "half"
    seen: list[tuple[int, int]] = []
    synthesize(
        half,
        SynthesisSettings.small(seed=3).model_copy(update=left_out),
        on_progress=lambda done, total, /, **_: seen.append((done, total)),
    )
    whole = {row["video_id"]: row for row in read_manifest(corpus).to_pylist()}
    rows = read_manifest(half).to_pylist()
    assert [row["video_id"] for row in rows] == [
        name for name, row in whole.items() if (row["label"] is None) == (domain == "target")
    ]
    assert all(row == whole[row["video_id"]] for row in rows)
    assert set(_digest(half).items()) <= set(_digest(corpus).items())
    assert {name.split("/")[0] for name in json.loads((half / "corpus.json").read_text())["clips"]} == {
        domain
    }
    truth = json.loads((half / "glosses.json").read_text())
    assert set(truth) == {row["video_id"] for row in rows if row["label"] is None}
    assert seen == [(done, len(rows)) for done in range(len(rows) + 1)]


def test_a_corpus_that_is_there_is_not_drawn_again(corpus: Path) -> None:
    before = _digest(corpus)
    summary = synthesize(corpus, SynthesisSettings.small(seed=3))
    assert (summary.done, summary.skipped) == (0, len(before))
    assert _digest(corpus) == before


def test_the_same_seed_gives_the_same_files_and_another_seed_other_ones(
    corpus: Path, tmp_path: Path, ray_cluster: None
) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    synthesize(again, SynthesisSettings.small(seed=3))
    synthesize(other, SynthesisSettings.small(seed=4))
    assert _digest(again) == _digest(corpus)
    assert read_manifest(again).equals(read_manifest(corpus))
    assert not set(_digest(other).values()) & set(_digest(corpus).values())


def test_a_corpus_that_was_cut_short_is_completed_and_repeats_no_clip(
    corpus: Path, tmp_path: Path, ray_cluster: None
) -> None:
    out = tmp_path / "corpus"
    synthesize(out, SynthesisSettings.small(seed=3))
    key = json.loads((out / "step.json").read_text())["key"]
    # What a kill leaves: the folder under its building name, without the step's record.
    (out / "step.json").unlink()
    videos = sorted((out / "videos").glob("*.mp4"))
    for path in videos[:5]:
        path.unlink()
    out.rename(out.with_name(f".corpus.building-{key}"))
    summary = synthesize(out, SynthesisSettings.small(seed=3))
    assert (summary.done, summary.skipped) == (5, len(videos) - 5)
    assert _digest(out) == _digest(corpus)


def test_a_folder_of_somebody_elses_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not empty"):
        synthesize(tmp_path, SynthesisSettings.small())


def test_handshapes_can_be_told_apart_at_the_size_that_the_encoder_sees(shots: list[Shot]) -> None:
    """BLUE and WHERE are signed at one place; the hands must differ by more than the noise between frames."""
    chosen = {
        shot.label: shot
        for shot in shots
        if shot.label in ("two", "three", "where") and shot.split == "validation"
    }
    views = {}
    for label, shot in chosen.items():
        rehearsal = rehearse(shot.take)
        _, start, end = rehearsal.timeline.spans[0]
        frames = shoot(shot.take, rehearsal)[(start + end) // 2 - 2 : (start + end) // 2 + 2]
        views[label] = np.stack([_seen(frame, rehearsal.crop) for frame in frames])
    for a, b in combinations(views, 2):
        between = np.abs(views[a].mean(0) - views[b].mean(0)).max()
        assert between > 25, f"{a} and {b}"


def _seen(frame: np.ndarray, crop: tuple[float, float, float, float]) -> np.ndarray:
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(crop, (width, height, width, height), strict=True))
    return cv2.resize(frame[y0:y1, x0:x1], (64, 64), interpolation=cv2.INTER_AREA).astype(float)
