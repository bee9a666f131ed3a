"""Writing segments anew: the living rows of some become one segment; their encoded tokens are copied."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.index.token_store.codecs import Codec
from cico_platform.index.token_store.gathering import open_segment, open_table
from cico_platform.index.token_store.id_table import IDS_SCHEMA
from cico_platform.index.token_store.open_segment import OpenSegment
from cico_platform.index.token_store.pool import OpenFiles
from cico_platform.index.token_store.records import RowRange, SegmentInfo
from cico_platform.index.token_store.segment_output import SegmentOutput
from cico_platform.index.token_store.snapshots import Snapshot
from cico_platform.storage import Place

# Tokens that are copied at once.
BLOCK = 1 << 15
Mask = NDArray[np.bool_]


def rewrite(
    folder: Place, snapshot: Snapshot, group: Sequence[int], opened: OpenFiles, codec: Codec
) -> SegmentInfo | None:
    """Write one segment of the living rows of some.

    A row that is dead, among others that live, keeps its entry in the offset table, with no tokens: so the
    others keep their numbers. Rows that one worker wrote and that are all dead leave nothing.

    Parameters
    ----------
    group
        Indices of the snapshot's segments.

    Returns
    -------
    SegmentInfo or None
        None if no row lives.
    """
    ranges: list[RowRange] = []
    tables: list[pa.Table] = []
    digest = hashlib.sha256()
    with SegmentOutput(folder, snapshot.manifest.layout) as output:
        for index in group:
            segment = snapshot.manifest.segments[index]
            living = snapshot.lives(snapshot.numbers(index))
            kept, held = _kept(segment, living)
            with open_table(opened, segment) as ids:
                tables.append(_living_ids(ids.table, living, held, output.rows))
            with open_segment(opened, codec, segment) as tokens:
                _copy(tokens, living, held, output)
            ranges += kept
            digest.update(segment.model_dump_json().encode() + np.packbits(living).tobytes())
        if not ranges:
            return None
        return output.finish(digest.hexdigest()[:32], tuple(ranges), pa.concat_tables(tables))


def _kept(segment: SegmentInfo, living: Mask) -> tuple[list[RowRange], Mask]:
    """Return the ranges with a living row, and which rows are in one of them."""
    kept, held, base = [], np.zeros(segment.rows, bool), 0
    for each in segment.ranges:
        alive = int(living[base : base + each.rows].sum())
        if alive:
            held[base : base + each.rows] = True
            kept.append(each.model_copy(update={"erased": each.rows - alive}))
        base += each.rows
    return kept, held


def _living_ids(table: pa.Table, living: Mask, held: Mask, base: int) -> pa.Table:
    rows = table["row"].to_numpy()
    table = table.filter(pa.array(living[rows]))
    # Where each row of the old files lies in the new ones.
    moved = base + np.cumsum(held) - 1
    row = pa.array(moved[table["row"].to_numpy()].astype(np.int64))
    return table.set_column(IDS_SCHEMA.get_field_index("row"), IDS_SCHEMA.field("row"), row)


def _copy(tokens: OpenSegment, living: Mask, held: Mask, output: SegmentOutput) -> None:
    """Append the held rows, those that are dead without tokens, some rows at a time."""
    tokens.expect_all_to_be_read()
    lengths = np.diff(tokens.offsets)
    kept = np.where(living, lengths, 0)
    for begin, end in _windows(tokens.offsets):
        rows = slice(begin, end)
        encoded = tokens.encoded[tokens.offsets[begin] : tokens.offsets[end]]
        if not living[rows].all():
            encoded = encoded[np.repeat(living[rows], lengths[rows])]
        output.add(kept[rows][held[rows]], encoded)


def _windows(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield begin and end of rows that follow each other and have `BLOCK` tokens at most, or are one row."""
    begin, rows = 0, len(offsets) - 1
    while begin < rows:
        last = int(np.searchsorted(offsets, offsets[begin] + BLOCK, "right")) - 1
        end = max(begin + 1, last)
        yield begin, end
        begin = end
