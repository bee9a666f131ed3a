"""Row numbers: the lasting ids of clips in a store, made of a segment's number and a row within it."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint64]

# 43 + 20 bits: a row number is also a positive int64. Numbers of segments come from their names, so that a
# worker knows its clips' row numbers without asking anyone. Among 10,000 segments two have the same number
# with a probability of 6 in a million, which a commit finds.
ROW_BITS = 20
SEGMENT_BITS = 43
MAX_ROWS = 1 << ROW_BITS
# Is no row number: an id that a store does not hold.
NO_ROW = np.uint64(2**64 - 1)


def segment_number(name: str) -> int:
    """Return the number of the segment with this name, at least 16 hexadecimal digits.

    >>> segment_number("ffffffffffffffff") == 2**SEGMENT_BITS - 1
    True
    """
    return int(name[:16], 16) >> (64 - SEGMENT_BITS)


def row_numbers(segment: int, rows: NDArray[np.integer] | int) -> Rows:
    """Return the numbers of rows within a segment, or of its first `rows` rows.

    >>> [hex(row) for row in row_numbers(5, 2).tolist()]
    ['0x500000', '0x500001']
    """
    within = np.arange(rows) if isinstance(rows, int) else rows
    return np.uint64(segment << ROW_BITS) | within.astype(np.uint64)


def split(rows: Rows) -> tuple[Rows, NDArray[np.int64]]:
    """Return the segment's number and the row within it of each row number."""
    return rows >> np.uint64(ROW_BITS), (rows & np.uint64(MAX_ROWS - 1)).astype(np.int64)


def as_rows(rows: object) -> Rows:
    """Return integers as row numbers, uint64 [n]."""
    return np.asarray(rows, dtype=np.uint64).reshape(-1)
