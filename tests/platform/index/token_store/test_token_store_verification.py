"""`verify` finds whatever is wrong with a store, and nothing where all is right."""

from pathlib import Path

import numpy as np
import pytest
from token_stores import DIM, drawn, store_of, write

from cico_platform.errors import InputError
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.compaction import compact
from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.verification import verify

A, B = drawn("abc", seed=1), drawn("def", seed=2)


def test_a_sound_store_is_counted(tmp_path: Path) -> None:
    first, _ = store_of(tmp_path, A, B)
    mark_dead(tmp_path, first[:1])
    found = verify(tmp_path)
    found.check()
    assert (found.segments, found.rows, found.living, found.files) == (2, 6, 5, 6)
    assert found.tokens == sum(map(len, [*A.values(), *B.values()]))
    assert found.bytes == sum(path.stat().st_size for path in tmp_path.rglob("segments/*-*"))
    compact(tmp_path)
    assert verify(tmp_path).tokens == found.tokens - len(A["a"])


def files_of_store() -> list[str]:
    return ["tokens", "offsets", "ids.arrow"]


@pytest.mark.parametrize("suffix", files_of_store())
def test_every_changed_byte_is_found(tmp_path: Path, suffix: str) -> None:
    store_of(tmp_path, A, B)
    path = sorted((tmp_path / "segments").glob(f"*.{suffix}"))[1]
    whole = path.read_bytes()
    for position in range(0, len(whole), 1 + len(whole) // 15):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 8]) + whole[position + 1 :])
        found = verify(tmp_path)
        assert len(found.problems) == 1
        assert path.name in found.problems[0]
        with pytest.raises(DamagedFileError, match=path.name):
            found.check()
    path.unlink()
    assert f"{path.name}' is missing" in verify(tmp_path).problems[0]


def test_all_damaged_files_are_named(tmp_path: Path) -> None:
    store_of(tmp_path, A, B)
    damaged = sorted((tmp_path / "segments").glob("*.tokens"))
    for path in damaged:
        path.write_bytes(b"")
    found = verify(tmp_path)
    assert all(any(path.name in problem for problem in found.problems) for path in damaged)
    with pytest.raises(DamagedFileError, match="and 1 problems more"):
        found.check()


def test_clips_that_live_twice_are_found(tmp_path: Path) -> None:
    first, _ = store_of(tmp_path, A, B)
    layout = create_store(tmp_path, DIM)
    info = write(tmp_path, layout, {"a": np.ones((1, DIM), np.float16)})
    add_segments(tmp_path, [info])
    assert verify(tmp_path).problems == ("1 clips live in two rows; mark the earlier ones dead",)
    mark_dead(tmp_path, first[:1])
    verify(tmp_path).check()


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no token store"):
        verify(tmp_path)
