"""Files as arrays: mapped into memory without a file descriptor that stays open."""

import ctypes
import mmap
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def map_bytes(path: Path, size: int) -> NDArray[np.uint8]:
    """Map the first `size` bytes of a file, copy on write: pages are read when they are looked at.

    Python's own maps hold a file descriptor each; a large store has more segments than a process may have
    descriptors. Torch closes it, and its kernels take the array without a copy.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    if size == 0:
        return np.zeros(0, np.uint8)
    with path.open("rb"):  # torch has no error of its own for a missing file
        pass
    mapped: NDArray[np.uint8] = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()
    return mapped


def map_array(path: Path, count: int, dtype: str) -> NDArray[Any]:
    """Map a file of `count` numbers."""
    return map_bytes(path, count * np.dtype(dtype).itemsize).view(dtype)


class Prefetcher:
    """Advises the system on a mapped array: it reads where it is told to, and not further.

    Without that a page that is missing brings 128 KB with it, one page after the other.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._address, self._bytes = int(array.__array_interface__["data"][0]), array.nbytes
        self._madvise = _madvise()
        if array.nbytes and hasattr(mmap, "MADV_RANDOM"):
            self._advise(0, array.nbytes, mmap.MADV_RANDOM)

    def expect_sequential_reads(self) -> None:
        """Tell the system to read ahead: all of it will be read from start to end."""
        if self._bytes and hasattr(mmap, "MADV_SEQUENTIAL"):
            self._advise(0, self._bytes, mmap.MADV_SEQUENTIAL)

    def prefetch(self, begin: int, end: int) -> None:
        """Ask the system to read these bytes; returns at once."""
        if end > begin and hasattr(mmap, "MADV_WILLNEED"):
            self._advise(begin, end, mmap.MADV_WILLNEED)

    def release(self) -> None:
        """Take all pages out of this process' memory; the system keeps them as it keeps any file's."""
        if self._bytes and hasattr(mmap, "MADV_DONTNEED"):
            self._advise(0, self._bytes, mmap.MADV_DONTNEED)

    def _advise(self, begin: int, end: int, advice: int) -> None:
        first = self._address + begin
        aligned = first - first % mmap.PAGESIZE
        self._madvise(aligned, self._address + end - aligned, advice)


@lru_cache(maxsize=1)
def _madvise() -> Any:
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function
