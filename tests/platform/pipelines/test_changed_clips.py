"""What was computed from a clip that has changed since is refused wherever it would be joined by name."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cico_platform.corpus.clip_keys import file_facts, key_columns
from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.errors import InputError
from cico_platform.evaluation.evaluate import evaluate
from cico_platform.pipelines.changed_clips import check_unchanged
from cico_platform.pipelines.clip_table import read_clips
from cico_platform.pipelines.index_source import read_source
from cico_platform.pipelines.ledgers import write_clips
from cico_platform.pipelines.segments import SEGMENTS_FILE
from cico_platform.schemas.ledger import DONE, LEDGER_SCHEMA, LedgerRow, ledger_table
from cico_platform.schemas.segments import SEGMENTS_SCHEMA
from cico_platform.steps import write_json
from cico_platform.training.retrieval import train_retrieval
from cico_platform.training.sign_encoder import train_sign_encoder

CLIPS = [Clip(f"clip-{n}", "t", "train", "a.mp4", "x", "X", start=float(n), end=n + 1.0) for n in range(5)]


def write_corpus(folder: Path, clips: list[Clip], known: bool = True) -> Path:
    facts = [file_facts(str(folder / clip.path)) for clip in clips]
    write_manifest(folder, clips, key_columns(clips, facts) if known else None)
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.mp4").write_bytes(b"a" * 1000)
    return write_corpus(tmp_path / "corpus", CLIPS)


def write_ledger(folder: Path, corpus: Path) -> Path:
    """As `cico features` and `cico mine` leave it."""
    folder.mkdir(parents=True)
    clips = read_clips(corpus, here=9)
    keys = zip(clips.video_ids.to_pylist(), clips.keys.to_pylist(), strict=True)
    write_clips(folder, ledger_table([LedgerRow(name, key, DONE) for name, key in keys]), "recipe", "")
    return folder


@pytest.fixture
def features(corpus: Path, tmp_path: Path) -> Path:
    folder = write_ledger(tmp_path / "features", corpus)
    write_json(folder / "features.json", {"encoders": [{"id": "a", "path": ""}], "alpha": 1.0, "dim": 4})
    return folder


def moved(clip: Clip) -> Clip:
    return replace(clip, start=(clip.start or 0.0) + 0.5)


def boxed(clip: Clip) -> Clip:
    return replace(clip, crop=[0.0, 0.0, 0.5, 1.0])


@pytest.mark.parametrize("change", [moved, boxed])
def test_a_clip_with_other_times_or_another_box_is_refused(
    change: Callable[[Clip], Clip], corpus: Path, features: Path, tmp_path: Path
) -> None:
    check_unchanged(corpus, features, "cico features")
    write_corpus(
        corpus, [CLIPS[0], change(CLIPS[1]), *CLIPS[2:], Clip("new", "t", "train", "a.mp4", "x", "X")]
    )
    segments = tmp_path / "segments"
    write_ledger(segments / "parts", write_corpus(corpus, CLIPS))
    pq.write_table(pa.Table.from_pylist([], schema=SEGMENTS_SCHEMA), segments / SEGMENTS_FILE)
    write_corpus(corpus, [CLIPS[0], change(CLIPS[1]), *CLIPS[2:]])
    calls: list[Callable[[], Any]] = [
        lambda: check_unchanged(corpus, features, "cico features"),
        lambda: train_retrieval(corpus, features, tmp_path / "model"),
        lambda: evaluate(corpus, features, tmp_path / "model", "train", tmp_path / "report"),
        lambda: read_source(corpus, features, tmp_path / "model", "clips"),
        lambda: train_sign_encoder(corpus, tmp_path / "encoder", segments=segments),
    ]
    for call in calls:
        with pytest.raises(
            InputError, match=r"1 clips of '.*corpus' have other .*: 'clip-1'; run 'cico .*' again"
        ):
            call()


def test_a_file_that_was_replaced_is_refused_once_the_corpus_is_read_again(
    corpus: Path, features: Path
) -> None:
    (corpus / "a.mp4").write_bytes(b"b" * 1000)
    write_corpus(corpus, CLIPS)
    with pytest.raises(InputError, match=r"5 clips .*: 'clip-0', 'clip-1', 'clip-2', …; run"):
        check_unchanged(corpus, features, "cico features")


def test_what_has_not_changed_or_cannot_be_known_is_taken(
    corpus: Path, features: Path, tmp_path: Path
) -> None:
    write_corpus(corpus, [*CLIPS[2:], Clip("new", "t", "train", "a.mp4", "x", "X")])
    check_unchanged(corpus, features, "")
    write_corpus(corpus, [moved(clip) for clip in CLIPS], known=False)
    check_unchanged(corpus, features, "")
    check_unchanged(corpus, tmp_path, "")
    write_clips(features, LEDGER_SCHEMA.empty_table(), "", "")
    check_unchanged(corpus, features, "")


def test_features_that_are_newer_than_the_manifest_are_right(corpus: Path, tmp_path: Path) -> None:
    (corpus / "a.mp4").write_bytes(b"b" * 1000)
    os.utime(corpus / "a.mp4", ns=(1, 1))
    check_unchanged(corpus, write_ledger(tmp_path / "newer", corpus), "")


def test_files_that_are_away_do_not_matter(corpus: Path, features: Path) -> None:
    """Features are computed where the videos are, and used elsewhere."""
    (corpus / "a.mp4").unlink()
    check_unchanged(corpus, features, "")
