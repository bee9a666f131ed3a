"""A table of tokens: rows are written once, by several processes at a time, and survive kills."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cico_model.ragged import unit_products
from cico_platform.errors import CicoError
from cico_platform.index.clips import IndexedClip
from cico_platform.index.token_table import ROWS_FILE, TOKENS_FILE, FolderTokens

DIM = 8


def clips(count: int) -> list[IndexedClip]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, count)
    return [
        IndexedClip(f"{i}", rng.normal(size=(size, DIM)).astype(np.float16)) for i, size in enumerate(sizes)
    ]


def test_rows_are_read_and_compared(tmp_path: Path) -> None:
    made = clips(20)
    writer, reader = FolderTokens(tmp_path / "t", DIM), FolderTokens(tmp_path / "t", DIM)
    assert writer.append([]) == []
    assert writer.append(made[:12]) == list(range(12))
    np.testing.assert_array_equal(reader.read(11), made[11].tokens)
    assert writer.append(made[12:]) == list(range(12, 20))
    np.testing.assert_array_equal(reader.read(19), made[19].tokens)  # written after it was opened
    query = np.random.default_rng(3).normal(size=(3, DIM)).astype(np.float32)
    compared = reader.compare([17, 2, 9], query)
    assert compared.counts.tolist() == [len(made[i].tokens) for i in (17, 2, 9)]
    for number, row in enumerate((17, 2, 9)):
        np.testing.assert_allclose(compared.of(number), unit_products(made[row].tokens, query), atol=1e-5)


def test_what_a_kill_has_cut_is_no_row(tmp_path: Path) -> None:
    made, rows = clips(6), FolderTokens(tmp_path, DIM)
    rows.append(made[:3])
    for name in (TOKENS_FILE, ROWS_FILE):
        with (tmp_path / name).open("ab") as file:
            file.write(b"cut")
    other = FolderTokens(tmp_path, DIM)
    with pytest.raises(CicoError, match="row 3 are not in"):
        other.read(3)
    assert other.append(made[3:]) == [3, 4, 5]
    for number, clip in enumerate(made):
        np.testing.assert_array_equal(FolderTokens(tmp_path, DIM).read(number), clip.tokens)


def test_a_token_file_that_is_cut_short_is_said_so(tmp_path: Path) -> None:
    FolderTokens(tmp_path, DIM).append(clips(5))
    with (tmp_path / TOKENS_FILE).open("ab") as file:
        file.truncate(2 * DIM)
    with pytest.raises(CicoError, match="cut short"):
        FolderTokens(tmp_path, DIM).read(4)


def test_processes_that_append_at_once_get_rows_of_their_own(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import numpy as np
from cico_platform.index.clips import IndexedClip
from cico_platform.index.token_table import FolderTokens
number = int(sys.argv[1])
rows = FolderTokens(Path({str(tmp_path)!r}), {DIM})
for step in range(40):
    value = number * 100 + step
    (row,) = rows.append([IndexedClip("a", np.full((1 + step % 3, {DIM}), value, np.float16))])
    print(row, value)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(i)], stdout=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    said = [line.split() for process in running for line in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(int(row) for row, _ in said) == list(range(120))
    rows = FolderTokens(tmp_path, DIM)
    for row, value in said:
        read = rows.read(int(row))
        assert read.shape == (1 + int(value) % 100 % 3, DIM)
        assert (read == float(value)).all()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CicoError, match=r"cannot be written to '.*/file/t': Not a directory"):
        FolderTokens(tmp_path / "file" / "t", DIM).append(clips(1))
