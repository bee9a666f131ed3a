"""The keys of a run's clips follow their files, and only files that changed are opened."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cico_platform.corpus.clip_keys import clip_keys, file_facts, key_columns
from cico_platform.corpus.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, Clip, Corpus, write_manifest
from cico_platform.corpus.manifest_rows import manifest_rows
from cico_platform.errors import InputError
from cico_platform.pipelines.clip_table import read_clips
from cico_platform.pipelines.decode import WAITING_SCHEMA, decode_block
from cico_platform.pipelines.stored_features import Features
from cico_platform.training.data.cuts import Cut, FrameSettings, plan_store
from cico_platform.training.pairs import load_pairs

HERE = 100


def written(folder: Path, known: bool = True) -> list[Clip]:
    """A corpus of five sentences in three files, and a sign."""
    for name in "abc":
        (folder / f"{name}.mp4").write_bytes(name.encode() * 1000)
    clips = [Clip(f"clip-{n}", "t", "train", f"{'abcab'[n]}.mp4", "x", "X", start=float(n)) for n in range(5)]
    clips[3] = replace(clips[3], split="test")
    clips.insert(2, Clip("sign", "t", "train", "a.mp4", "x", "X", label="x"))
    facts = [file_facts(str(folder / clip.path)) for clip in clips]
    write_manifest(folder, clips, key_columns(clips, facts) if known else None)
    return clips


def keys(folder: Path, here: int = HERE) -> dict[str, str]:
    table = read_clips(folder, here=here)
    return dict(zip(table.video_ids.to_pylist(), table.keys.to_pylist(), strict=True))


@pytest.mark.parametrize("known", [True, False])
def test_keys_are_those_of_the_files_whether_the_manifest_knows_them_or_not(
    tmp_path: Path, known: bool
) -> None:
    clips = [clip for clip in written(tmp_path, known) if clip.label is None]
    assert keys(tmp_path) == clip_keys(Corpus(tmp_path), clips)
    table = read_clips(tmp_path, "train", HERE)
    assert table.video_ids.to_pylist() == ["clip-0", "clip-1", "clip-2", "clip-4"]
    assert table.rows.tolist() == [0, 1, 3, 5]
    assert read_clips(tmp_path, here=HERE).digest() != table.digest()


def test_only_a_file_of_another_size_or_time_is_opened(tmp_path: Path) -> None:
    written(tmp_path)
    before = keys(tmp_path)
    known = (tmp_path / "a.mp4").stat()
    (tmp_path / "a.mp4").write_bytes(b"z" * 1000)
    os.utime(tmp_path / "a.mp4", ns=(known.st_atime_ns, known.st_mtime_ns))
    assert keys(tmp_path) == before
    os.utime(tmp_path / "a.mp4", ns=(known.st_atime_ns, known.st_mtime_ns + 1))
    (tmp_path / "b.mp4").write_bytes(b"b" * 1001)
    now = keys(tmp_path)
    assert {name for name in now if now[name] != before[name]} == {"clip-0", "clip-1", "clip-3", "clip-4"}
    os.utime(tmp_path / "c.mp4")  # as after a copy: the content is what it was
    assert keys(tmp_path)["clip-2"] == before["clip-2"]
    (tmp_path / "c.mp4").unlink()
    assert keys(tmp_path)["clip-2"] != before["clip-2"]


def test_times_that_were_edited_in_the_manifest_change_the_key(tmp_path: Path) -> None:
    written(tmp_path)
    before, path = keys(tmp_path), tmp_path / "manifest.parquet"
    table = pq.read_table(path)
    starts = [start if start is None else start + 0.5 for start in table["start"].to_pylist()]
    number = table.schema.get_field_index("start")
    pq.write_table(table.set_column(number, "start", pa.array(starts, pa.float64())), path)
    assert not set(keys(tmp_path).values()) & set(before.values())


def test_rows_are_read_across_row_groups_in_any_order(tmp_path: Path) -> None:
    clips = written(tmp_path, known=False)
    path = tmp_path / "manifest.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=2)
    rows = manifest_rows(tmp_path, np.array([5, 0, 3, 0]), ("video_id", "start", "file_size"))
    assert rows["video_id"].to_pylist() == [clips[number].video_id for number in (5, 0, 3, 0)]
    assert rows["file_size"].to_pylist() == [None] * 4
    with pytest.raises(InputError, match="changed while it was read"):
        manifest_rows(tmp_path, np.array([6]), ("video_id",))


@pytest.mark.parametrize("column", ["path", "video_id", "text_id", "split"])
def test_a_manifest_whose_clips_lack_a_value_is_refused(column: str, tmp_path: Path) -> None:
    written(tmp_path, known=False)
    rows = pq.read_table(tmp_path / MANIFEST_FILE).to_pylist()
    rows[-1][column] = None
    table = pa.Table.from_pylist(rows, schema=pa.schema([(f.name, f.type) for f in MANIFEST_SCHEMA]))
    for stored in (table, table.drop_columns([column])):
        pq.write_table(stored, tmp_path / MANIFEST_FILE)
        with pytest.raises(InputError, match="make the corpus again"):
            manifest_rows(tmp_path, np.arange(len(rows)), MANIFEST_SCHEMA.names)
        if column != "text_id":  # which no key needs
            with pytest.raises(InputError, match="make the corpus again"):
                read_clips(tmp_path, "train", HERE)


def test_two_clips_of_one_name_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    written(tmp_path)
    table = pq.read_table(tmp_path / MANIFEST_FILE)
    pq.write_table(pa.concat_tables([table, table.slice(1, 1)]), tmp_path / MANIFEST_FILE)
    values = [np.zeros((1, 2), np.float16)]
    features = Features(["clip-1"], [np.zeros(1, np.int32)], values, 2, 1.0, [np.zeros((1, 2))])
    for call in (
        lambda: read_clips(tmp_path, here=HERE),
        lambda: plan_store(Corpus(tmp_path), [Cut("clip-1", "red")], FrameSettings(size=8)),
        lambda: load_pairs(tmp_path, features, "train"),
    ):
        with pytest.raises(InputError, match="two clips are named 'clip-1'; a manifest needs unique names"):
            call()


def test_a_manifest_that_changes_during_a_run_is_noticed(tmp_path: Path) -> None:
    clips = written(tmp_path)
    columns = {
        "position": [0],
        "row": [0],
        "video_id": ["clip-0"],
        "clip_key": ["key"],
        "stored_files": [None],
        "stored_rows": [None],
    }
    block = pa.table(columns, schema=WAITING_SCHEMA)
    (decoded,) = decode_block(block, str(tmp_path), 16)
    assert "not a video" in decoded["error"][0].as_py()
    write_manifest(tmp_path, clips[1:])
    with pytest.raises(InputError, match="changed during this run"):
        next(decode_block(block, str(tmp_path), 16))
