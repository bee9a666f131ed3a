"""Clips that other processes stage become part of a collection once its owner completes them."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from drawn_clips import DIM, drawn_clips
from indexed_corpus import content, left_over

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clip_names import NAMES_SCHEMA, difference
from cico_platform.index.clips import IndexedClip
from cico_platform.index.embedded_stage import EmbeddedStage
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.staging import STAGED_SCHEMA, Staged
from cico_platform.index.token_storage import Quantization
from cico_platform.index.token_store.gathering import CLIPS_SCHEMA
from cico_platform.index.writer import IndexWriter


@pytest.fixture(params=["embedded", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    location = str(tmp_path / "index")
    if request.param == "server":
        location = request.getfixturevalue("server_url")
    with open_index(location) as opened:
        yield opened


def stage(index: VectorIndex, clips: list[IndexedClip], collection: str = "staged") -> Staged:
    """Write clips as a worker does: with what was pickled, and its answer sent as Arrow."""
    worker = pickle.loads(pickle.dumps(index.stage(collection)))
    try:
        table = pa.Table.from_pylist([worker.write(clips).row()], schema=STAGED_SCHEMA)
    finally:
        worker.close()
    return Staged.of_row(table.to_pylist()[0])


@pytest.mark.parametrize("quantization", ["none", "scalar"])
def test_what_is_staged_and_completed_is_what_is_upserted(
    index: VectorIndex, quantization: Quantization
) -> None:
    drawn = drawn_clips(50, clip_key="first", nested={"numbers": [1, 2.5], "none": None})
    made = [replace(clip, tokens=clip.tokens.astype(np.float16)) for clip in drawn]
    changed = [replace(clip, payload={"text": "ü"}, tokens=2 * clip.tokens[:1]) for clip in made[10:20]]
    for name in ("staged", "upserted"):
        index.create(name, DIM, quantization)
    for clips in (made[:30], made[30:], changed):
        index.upsert("upserted", clips)
        index.complete("staged", stage(index, clips))
    assert content(index, "staged") == content(index, "upserted")
    for clip in made[::9]:
        ours, theirs = (
            [(hit.video_id, hit.score) for hit in index.query(name, clip.tokens, limit=5, candidates=50)]
            for name in ("staged", "upserted")
        )
        assert [name for name, _ in ours] == [name for name, _ in theirs]
        np.testing.assert_allclose(*([score for _, score in found] for found in (ours, theirs)), rtol=1e-5)
    assert not left_over(index, "staged")


def test_a_worker_that_does_not_see_the_index_sends_tokens_to_its_owner(tmp_path: Path) -> None:
    made = [replace(clip, tokens=clip.tokens.astype(np.float16)) for clip in drawn_clips(20)]
    with open_index(str(tmp_path / "index")) as index:
        for name in ("staged", "upserted"):
            index.create(name, DIM)
        index.upsert("upserted", made)
        here = index.stage("staged")
        assert isinstance(here, EmbeddedStage)
        there = replace(here, folder=tmp_path / "no such folder")
        staged = there.write(made)
        assert not (tmp_path / "no such folder").exists()
        index.complete("staged", Staged.of_row(staged.row()))
        assert content(index, "staged") == content(index, "upserted")


def test_the_same_clips_twice_change_nothing(index: VectorIndex) -> None:
    made = drawn_clips(20)
    index.create("staged", DIM)
    for _ in range(2):  # a worker died after it had written, and Ray ran its task again
        staged = stage(index, made)
        index.complete("staged", staged)
    before = content(index, "staged")
    assert set(before) == {clip.video_id for clip in made}
    index.complete("staged", staged)
    assert content(index, "staged") == before


def test_what_was_never_completed_is_not_seen_and_settled(tmp_path: Path) -> None:
    made = drawn_clips(20)
    with open_index(str(tmp_path / "index")) as index:
        index.create("staged", DIM)
        index.complete("staged", stage(index, made[:5]))
        stage(index, made)
        assert index.count("staged") == 5
        assert left_over(index, "staged")
    with open_index(str(tmp_path / "index")) as index:  # the next run begins
        index.create("staged", DIM)
        assert not left_over(index, "staged")
        assert set(content(index, "staged")) == {clip.video_id for clip in made[:5]}


def test_clips_that_cannot_be_written_leave_nothing(index: VectorIndex) -> None:
    index.create("staged", DIM)
    wide = IndexedClip("wide", np.ones((2, DIM + 1), np.float32))
    endless = IndexedClip("endless", np.full((2, DIM), np.inf, np.float32))
    for bad in (wide, endless):
        with pytest.raises(InputError, match=bad.video_id):
            stage(index, [*drawn_clips(3), bad])
    assert index.count("staged") == 0
    index.settle("staged")
    assert not left_over(index, "staged")


def test_a_writer_deletes_what_should_not_be_there_and_names_what_is_missing(
    index: VectorIndex, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    info = ServingInfo("staged", DIM, str(tmp_path / "model"), (), 1.0, "drawn")
    old, new = drawn_clips(30, clip_key="old"), drawn_clips(12, clip_key="new")
    writer = IndexWriter(index, info)
    index.upsert("staged", old)
    index.upsert("staged", new[:10])
    writer.keep(names([*new[:10], old[10]]))
    assert writer.verify() == 11
    assert set(content(index, "staged")) == {clip.video_id for clip in old[:11]}
    writer.keep(names([new[11]]))
    with pytest.raises(CicoError, match=r"holds 11 clips, not 12, without 'clip/11 ü'"):
        writer.verify()


def test_a_collection_whose_clips_do_not_find_themselves_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    info = ServingInfo("staged", DIM, str(tmp_path / "model"), (), 1.0, "drawn")
    made = drawn_clips(40)
    with open_index(str(tmp_path / "index")) as index:
        writer = IndexWriter(index, info)
        staged = stage(index, made)
        size = len(staged.encodings) // len(made)
        turned = staged.encodings[-size:] + staged.encodings[:-size]
        index.complete("staged", replace(staged, encodings=turned))
        writer.keep(names(made))
        with pytest.raises(CicoError, match="doesn't find 'clip/0 ü'"):
            writer.verify()
        index.complete("staged", staged)
        assert writer.verify() == len(made)


def test_of_rows_with_one_name_the_last_right_one_stays() -> None:
    rows = [(1, "a", "k"), (2, "b", "k"), (3, "a", "k"), (4, "a", "old"), (5, "gone", "k"), (6, "c", "old")]
    held = pa.table(dict(zip(CLIPS_SCHEMA.names, zip(*rows, strict=True), strict=True)), CLIPS_SCHEMA)
    wanted = pa.table({"video_id": ["c", "b", "a"], "clip_key": ["k"] * 3}, NAMES_SCHEMA)
    surplus, missing = difference(held, wanted)
    assert surplus.tolist() == [1, 4, 5, 6]
    assert missing.to_pylist() == ["c"]
    surplus, missing = difference(CLIPS_SCHEMA.empty_table(), NAMES_SCHEMA.empty_table())
    assert (len(surplus), len(missing)) == (0, 0)


def names(clips: list[IndexedClip]) -> pa.Table:
    keys = [str(clip.payload["clip_key"]) if "clip_key" in clip.payload else "" for clip in clips]
    return pa.table({"video_id": [clip.video_id for clip in clips], "clip_key": keys}, NAMES_SCHEMA)
