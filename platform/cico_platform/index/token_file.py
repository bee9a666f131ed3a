"""Clips' tokens in one half-precision file beside the embedded index, mapped into memory to be read."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cico_platform.index.clips import Tokens

# Position of a clip's tokens, kept in its payload: first row, number of rows.
Place = tuple[int, int]


class TokenFile:
    """float16 rows of width `dim`, appended and read by place.

    The engine gives vectors out as Python lists, 3 ms a clip; here they are a view. Replaced clips leave
    their rows behind until the collection is built anew.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path, self.dim = path, dim
        self._rows: NDArray[np.float16] | None = None
        path.touch()
        whole = path.stat().st_size // (2 * dim) * (2 * dim)
        if whole != path.stat().st_size:  # a process died while it appended
            os.truncate(path, whole)

    def append(self, blocks: Sequence[Tokens], *, sync: bool = True) -> list[Place]:
        """Write clips' tokens [T, D] at the end; returns their places, once they are on disk (`sync`)."""
        row = self.path.stat().st_size // (2 * self.dim)
        places = []
        with self.path.open("ab") as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype=np.float16).tobytes())
                places.append((row, len(block)))
                row += len(block)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        return places

    def read(self, place: Place) -> NDArray[np.float16]:
        """The tokens at a place, [T, D]: a view of the file."""
        first, count = place
        return self.rows(first + count)[first : first + count]

    def rows(self, least: int) -> NDArray[np.float16]:
        """All rows [M, D], at least so many: a view of the file."""
        if self._rows is None or least > len(self._rows):
            # A view of it as a plain array: parts of that are taken ten times as fast. Copy on write, though
            # no one writes: torch takes no array that it could not write to.
            self._rows = np.memmap(self.path, np.float16, "c").view(np.ndarray).reshape(-1, self.dim)
        return self._rows
