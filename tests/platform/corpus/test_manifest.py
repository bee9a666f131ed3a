"""The manifest comes back as it was written, and paths stay inside the corpus."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cico_platform.corpus.manifest import (
    MANIFEST_SCHEMA,
    Clip,
    Corpus,
    read_manifest,
    scan_manifest,
    unique_ids,
    write_manifest,
)
from cico_platform.errors import CicoError, InputError


def clip(name: str, **fields: object) -> Clip:
    known = {
        "text_id": "t",
        "split": "train",
        "path": f"videos/{name}.mp4",
        "text": "x",
        "text_original": "X",
    }
    return Clip(video_id=name, **{**known, **fields})  # type: ignore[arg-type]


def test_clips_come_back_as_they_were_written(tmp_path: Path) -> None:
    clips = [clip("a", start=0.5, crop=[0.0, 0.1, 0.5, 1.0], label="x"), clip("b", split="test", frames=3)]
    write_manifest(tmp_path, clips)
    corpus = Corpus(tmp_path)
    assert list(corpus.clips()) == clips
    assert read_manifest(tmp_path).schema.equals(MANIFEST_SCHEMA)
    assert [c.video_id for c in corpus.clips("test")] == ["b"]
    assert [c.video_id for c in corpus.clips(labelled=True)] == ["a"]
    assert [c.video_id for c in corpus.clips(labelled=False)] == ["b"]
    assert (corpus.clip("b"), corpus.clip("c")) == (clips[1], None)
    assert [c.video_id for c in corpus.clips(named=pa.array(["b", "c"]))] == ["b"]
    assert corpus.sentences("test", ["text", "video_id"]).to_pylist() == [{"text": "x", "video_id": "b"}]
    assert (corpus.count("test"), corpus.count("train")) == (1, 0)


def test_a_long_manifest_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cico_platform.corpus.manifest.ROWS_PER_GROUP", 2)
    clips = [clip(f"c{number}", split=("train", "test")[number % 2]) for number in range(5)]
    write_manifest(tmp_path, clips)
    assert [len(piece) for piece in scan_manifest(tmp_path, ["video_id"])] == [2, 2, 1]
    # Another program may have written one row group.
    pq.write_table(read_manifest(tmp_path), tmp_path / "manifest.parquet")
    assert [len(piece) for piece in scan_manifest(tmp_path, ["video_id"])] == [2, 2, 1]
    assert list(Corpus(tmp_path).clips("test")) == clips[1::2]
    assert Corpus(tmp_path).sentences("test", ["video_id"])["video_id"].to_pylist() == ["c1", "c3"]


def test_a_path_cannot_leave_the_corpus(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "corpus")
    assert corpus.resolve(clip("a")) == str((tmp_path / "corpus/videos/a.mp4").resolve())
    assert corpus.resolve(clip("a", path="/data/a.mp4")) == "/data/a.mp4"
    assert corpus.resolve(clip("a", path="s3://bucket/a.mp4")) == "s3://bucket/a.mp4"
    for path in ("../a.mp4", "videos/../../a.mp4"):
        with pytest.raises(InputError, match="leads out"):
            corpus.resolve(clip("a", path=path))


def test_names_are_unique(tmp_path: Path) -> None:
    assert unique_ids(["a", "a", "a-2", "a"]) == ["a", "a-3", "a-2", "a-4"]
    with pytest.raises(CicoError, match="two clips are named 'a'"):
        write_manifest(tmp_path, [clip("a"), clip("a")])
    assert not (tmp_path / "manifest.parquet").exists()


def test_what_is_not_a_corpus_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a manifest"):
        read_manifest(tmp_path)


def test_each_stage_has_its_quarantine(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    assert corpus.quarantined() == []
    corpus.quarantine("read", [{"video_id": "a", "path": "a.mp4", "reason": "empty"}])
    corpus.quarantine("features", [{"video_id": "b", "path": "b.mp4", "reason": "cut\u2028off"}])
    assert corpus.quarantined("read") == [
        {"video_id": "a", "path": "a.mp4", "stage": "read", "reason": "empty"}
    ]
    assert len(corpus.quarantined()) == 2
    corpus.quarantine("read", [])
    assert [row["stage"] for row in corpus.quarantined()] == ["features"]
