"""A full disk is told in a sentence, wherever it was met; what may be a bug keeps its traceback."""

import errno
from pathlib import Path

import pytest
from ray.exceptions import RayTaskError

from cico_platform.cli.failures import sentence
from cico_platform.errors import CicoError, InputError


def write_to_a_full_disk() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        full.write(b"1")


def test_a_full_disk_is_told_in_a_sentence() -> None:
    with pytest.raises(OSError, match="No space left") as met:
        write_to_a_full_disk()
    assert str(sentence(met.value)).startswith("the disk is full")


def test_a_full_disk_of_a_worker_is_told_with_its_path() -> None:
    cause = OSError(28, "No space left on device", "/data/part-0.parquet")
    error = RayTaskError("write", f"{cause}", cause)
    assert "the disk is full at /data/part-0.parquet" in str(sentence(error))


def test_an_error_that_came_of_a_full_disk_tells_of_the_disk() -> None:
    with pytest.raises(OSError, match="No space left") as met:
        write_to_a_full_disk()
    error = CicoError("Ray did not start here")
    error.__cause__ = met.value
    assert str(sentence(error)).startswith("the disk is full")


def test_a_place_that_the_system_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as met:
        (tmp_path / "file" / "out").mkdir()
    assert sentence(met.value) == f"'{tmp_path}/file/out' cannot be used: not a directory"
    cause = OSError(errno.EROFS, "Read-only file system", "/data/out")
    assert (
        sentence(RayTaskError("write", f"{cause}", cause))
        == "'/data/out' cannot be used: read-only file system"
    )
    assert sentence(PermissionError("of a bug")) is None


def test_other_errors_are_told_or_left_alone() -> None:
    assert sentence(InputError("name the index")) == "name the index"
    assert sentence(ValueError("a bug")) is None
