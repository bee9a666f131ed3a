"""Tokens and clips out of the segments of one snapshot."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.index.token_store.codecs import Codec, Decoded
from cico_platform.index.token_store.id_table import IdTable, open_ids
from cico_platform.index.token_store.open_segment import OpenSegment
from cico_platform.index.token_store.pool import OpenFiles
from cico_platform.index.token_store.records import SegmentInfo
from cico_platform.index.token_store.row_numbers import NO_ROW, Rows
from cico_platform.index.token_store.snapshots import Located, Snapshot

CLIPS_SCHEMA = pa.schema(
    [
        pa.field("row", pa.uint64(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("clip_key", pa.string(), nullable=False),
    ]
)


class TokenRows(NamedTuple):
    """Tokens of clips.

    Attributes
    ----------
    rows
        uint64 [n]: whose.
    tokens
        float16 [N, D], clip after clip.
    lengths
        int32 [n], each at least 1: how many tokens each clip has. Their sum is N.
    """

    rows: Rows
    tokens: Decoded
    lengths: NDArray[np.int32]


def gather(snapshot: Snapshot, opened: OpenFiles, codec: Codec, rows: Rows) -> TokenRows:
    """Copy the tokens of living rows together.

    A segment is in use only while it is read: a cache need not hold all segments of a request at once.
    """
    located, lengths = snapshot.locate(rows), np.zeros(len(rows), np.int64)
    for segment, picked in _by_segment(located):
        with open_segment(opened, codec, snapshot.manifest.segments[segment]) as open_one:
            lengths[picked] = open_one.lengths(located.rows[picked])
    positions = np.cumsum(lengths) - lengths
    encoded = np.empty((int(lengths.sum()), codec.row_bytes), np.uint8)
    for segment, picked in _by_segment(located):
        with open_segment(opened, codec, snapshot.manifest.segments[segment]) as open_one:
            open_one.copy(located.rows[picked], encoded, positions[picked])
    return TokenRows(rows, codec.decode(encoded), lengths.astype(np.int32))


def find(snapshot: Snapshot, opened: OpenFiles, video_ids: Sequence[str], hashes: NDArray[np.uint64]) -> Rows:
    """Return the living row of each clip, `NO_ROW` where there is none; of several, the one added last."""
    found = np.full(len(video_ids), NO_ROW)
    for number, segment in enumerate(snapshot.manifest.segments):
        with open_table(opened, segment) as table:
            which, within = table.find(video_ids, hashes)
        if len(which):
            rows = snapshot.numbers(number)[within]
            living = snapshot.lives(rows)
            found[which[living]] = rows[living]
    return found


def clips(snapshot: Snapshot, opened: OpenFiles, number: int) -> pa.Table:
    """Return the living clips of a segment as a table of `CLIPS_SCHEMA`."""
    with open_table(opened, snapshot.manifest.segments[number]) as table:
        rows = snapshot.numbers(number)[table.rows]
        columns = [pa.array(rows), table.table["video_id"], table.table["clip_key"]]
        whole = pa.table(columns, schema=CLIPS_SCHEMA)
    return whole.filter(pa.array(snapshot.lives(rows)))


def open_segment(opened: OpenFiles, codec: Codec, info: SegmentInfo) -> AbstractContextManager[OpenSegment]:
    """Give the open segment as a context."""
    needed = (info.token_file, info.offset_file)
    return opened.use(info.token_file.name, needed, partial(OpenSegment, info, codec))


def open_table(opened: OpenFiles, info: SegmentInfo) -> AbstractContextManager[IdTable]:
    """Give the open table of a segment's clips as a context."""
    return opened.use(info.id_file.name, (info.id_file,), partial(open_ids, info))


def _by_segment(located: Located) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each segment with the indices of its rows."""
    order = np.argsort(located.segments, kind="stable")
    if not len(order):
        return
    segments, begins = np.unique(located.segments[order], return_index=True)
    yield from zip(segments.tolist(), np.split(order, begins[1:]), strict=True)
