"""Output files of workers: each appears whole or not at all, and passing faults are tried again."""

import errno
import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from upath import UPath

from cico_platform.errors import CicoError
from cico_platform.storage import Place, fresh, is_remote

T = TypeVar("T")
ATTEMPTS = 4
SECONDS_BETWEEN_ATTEMPTS = 1.0
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
PARTIAL = ".*.partial"


class OutputError(CicoError):
    """A file could not be read or written, after as many attempts as make sense."""


def attempt(folder: Place, action: Callable[[], T]) -> T:
    """Return what an action on the files of a folder returns; after a passing fault it is called again.

    Raises
    ------
    OutputError
        If it fails each time, or the disk is full. It says what the last fault was.
    """
    for number in range(1, ATTEMPTS + 1):
        try:
            return action()
        except CicoError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not is_remote(folder):
                raise  # a store's client has errors of its own, a disk has not
            if number == ATTEMPTS or error_number(error) in NO_SPACE:
                raise OutputError(f"{type(error).__name__}: {error}") from error
            time.sleep(SECONDS_BETWEEN_ATTEMPTS * number * random.uniform(0.5, 1.5))
            fresh(folder)
    raise AssertionError


def is_there(path: Place) -> bool:
    """Whether a file exists.

    Raises
    ------
    OSError
        If the store does not say: `Path.is_file` would answer no.
    """
    if not isinstance(path, UPath) or not is_remote(path):
        return path.is_file()
    try:
        path.fs.invalidate_cache()
        path.fs.info(path.path)
    except FileNotFoundError:
        return False
    return True


def error_number(error: BaseException) -> int | None:
    """Return the number by which the system names an error, where it has one."""
    number = getattr(error, "errno", None)
    return number if isinstance(number, int) else None


@contextmanager
def whole_file(path: Place) -> Iterator[BinaryIO]:
    """A file to write that is seen only when it is whole, without holding it in memory.

    Two attempts at the same file never write into each other's: Ray may start a task again while the first
    attempt still runs on a node that it has lost.
    """
    if isinstance(path, UPath) and is_remote(path):
        with tempfile.NamedTemporaryFile(prefix="cico-") as local:
            yield local  # type: ignore[misc]
            local.flush()
            path.fs.put_file(local.name, path.path)
        return
    partial = Path(str(path)).with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(str(path))
    except BaseException:  # a full disk needs every byte
        partial.unlink(missing_ok=True)
        raise
