"""Damaged stores, clips that cannot be used and full disks: told, and mended by the same command."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn_features import DIM, ENCODERS, content, drawn_rows, row, write_shards

from cico_platform.errors import CicoError, InputError
from cico_platform.training.data.feature_source import open_features, open_store
from cico_platform.training.data.feature_store_files import FEATURES, HEADER_FILE
from cico_platform.training.data.feature_store_writer import PROGRESS_FILE


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "features", drawn_rows())


def damage_by(change: str, folder: Path) -> None:
    if change == "cut short":
        os.truncate(folder / FEATURES, 100)
    elif change == "another offset":
        offsets = np.fromfile(folder / "offsets.i64", np.int64)
        offsets[3] += 1
        offsets.tofile(folder / "offsets.i64")
    elif change == "no file":
        (folder / "starts.i32").unlink()
    elif change == "another version":
        header = json.loads((folder / HEADER_FILE).read_text())
        (folder / HEADER_FILE).write_text(json.dumps({**header, "version": 0}))
    else:
        (folder / HEADER_FILE).write_text("{")


@pytest.mark.parametrize("change", ["cut short", "another offset", "no file", "another version", "no header"])
def test_a_damaged_store_is_made_again(features: Path, change: str) -> None:
    folder = open_store(features).folder
    before = content(folder)
    damage_by(change, folder)
    assert open_store(features).folder == folder
    assert content(folder) == before


@pytest.mark.parametrize(("name", "byte"), [(FEATURES, 2 * DIM), ("starts.i32", 0)])
def test_a_changed_byte_is_noticed_when_its_clip_is_read_first(features: Path, name: str, byte: int) -> None:
    folder = open_store(features).folder
    whole = content(folder)
    changed = bytearray(whole[name])
    changed[byte] ^= 1
    (folder / name).write_bytes(bytes(changed))
    found = open_features(features)
    assert len(found.rows[1]) > 0
    with pytest.raises(CicoError, match=f"'{found.video_ids[0]}' .* are not what was written"):
        found.rows.batch([0])
    assert open_features(features).rows[0].any(), "the next run makes the store again"
    assert content(folder) == whole


def test_clips_that_cannot_be_used_are_left_out_and_named(tmp_path: Path) -> None:
    rows = drawn_rows()
    names = list(dict.fromkeys(str(row["video_id"]) for row in rows))
    unknown, short, infinite, other, empty = names[:5]
    values = np.ones((4, DIM))
    rows = [row for row in rows if row["video_id"] not in names[:5]]
    rows += [row(unknown, "first", values)]
    rows += [row(short, "first", values), row(short, "second", values, starts=[0, 3, 6])]
    rows += [row(infinite, "first", values), row(infinite, "second", values * np.inf)]
    rows += [row(other, "first", values), row(other, "second", values, starts=[0, 1, 2, 3])]
    rows += [row(empty, encoder, values[:0]) for encoder in ENCODERS]
    store = open_store(write_shards(tmp_path / "features", rows))
    assert sorted(store.video_ids().to_pylist()) == sorted(names[5:])
    left = store.header.left_out
    assert left.count == 5
    assert dict(left.first) == {
        unknown: "it has no features by second",
        short: "32 values are not 3 windows of width 8",
        infinite: "its features are not finite",
        other: "its encoders have seen different windows",
        empty: "it has no windows",
    }


def test_shards_of_no_use_are_refused(tmp_path: Path) -> None:
    nothing = write_shards(tmp_path / "nothing", [row("a", "first", np.full((2, DIM), np.nan))], 1)
    with pytest.raises(InputError, match=r"that can be used \(1 left out; 'a': .*finite"):
        open_store(nothing)
    with pytest.raises(InputError, match="holds no features"):
        open_store(tmp_path / "missing")
    broken = write_shards(tmp_path / "broken", drawn_rows(), 2)
    (broken / "part-00001.parquet").write_bytes(b"not Parquet")
    with pytest.raises(InputError, match=r"part-00001.parquet' holds no features"):
        open_store(broken)
    pq.write_table(pa.table({"video_id": ["a"]}), broken / "part-00001.parquet")
    with pytest.raises(InputError, match="no column 'encoder_id'"):
        open_store(broken)


def test_a_full_disk_is_told_and_the_same_command_goes_on(tmp_path: Path) -> None:
    features = write_shards(tmp_path / "features", drawn_rows(clips=3000))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        with pytest.raises(CicoError, match=r"no space is left .* run.store=DIR"):
            open_store(features, str(disk), commit_bytes=1)
        assert list(disk.glob(f"*.building/{PROGRESS_FILE}"))
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert content(open_store(features, str(disk)).folder) == content(open_store(features).folder)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
