"""What a reader knows of a store at one time: where rows lie, and which are dead."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cico_platform.index.token_store.records import Manifest, RowRange
from cico_platform.index.token_store.row_numbers import Rows, row_numbers, split


@dataclass(frozen=True)
class Located:
    """Where rows lie.

    Attributes
    ----------
    segments
        int64 [n]: index into the manifest's segments; -1 where no segment holds the row.
    rows
        int64 [n]: row within the segment's files.
    """

    segments: NDArray[np.int64]
    rows: NDArray[np.int64]


class Snapshot:
    """A manifest with its dead rows. Costs a few numbers a segment.

    Parameters
    ----------
    dead
        uint64, ascending: may be mapped.
    """

    def __init__(self, manifest: Manifest, dead: Rows) -> None:
        self.manifest, self.dead = manifest, dead
        held = [
            (each.number, index, each.rows, base)
            for index, segment in enumerate(manifest.segments)
            for each, base in zip(segment.ranges, _bases(segment.ranges), strict=True)
        ]
        table = np.array(sorted(held), dtype=np.int64).reshape(-1, 4)
        self._numbers = table[:, 0].astype(np.uint64)
        self._segments, self._counts, self._bases = table[:, 1], table[:, 2], table[:, 3]

    def locate(self, rows: Rows) -> Located:
        """Find the segment of each row, dead ones too."""
        numbers, within = split(rows)
        if not len(self._numbers):
            return Located(np.full(len(rows), -1), np.zeros(len(rows), np.int64))
        found = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        held = (self._numbers[found] == numbers) & (within < self._counts[found])
        return Located(np.where(held, self._segments[found], -1), self._bases[found] + within)

    def lives(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each row holds a clip that was not marked dead, bool [n]."""
        held = self.locate(rows).segments >= 0
        if not len(self.dead):
            return held
        found = np.minimum(np.searchsorted(self.dead, rows), len(self.dead) - 1)
        living: NDArray[np.bool_] = held & (self.dead[found] != rows)
        return living

    def numbers(self, segment: int) -> Rows:
        """Return the row number of each row in the files of a segment."""
        ranges = self.manifest.segments[segment].ranges
        return np.concatenate([row_numbers(each.number, each.rows) for each in ranges])


def _bases(ranges: tuple[RowRange, ...]) -> list[int]:
    counts = [each.rows for each in ranges]
    return [int(base) for base in np.cumsum([0, *counts[:-1]])]
