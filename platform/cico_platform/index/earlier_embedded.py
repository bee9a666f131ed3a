"""Clips of a collection that the version before wrote (layout 4): tokens in one file, UUIDs as ids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as qdrant

from cico_platform.index.clips import IndexedClip

PLACE = np.dtype([("point", "V16"), ("first", "<i8"), ("count", "<i4")])
TOKENS_FILE, PLACES_FILE = "tokens.f16", "tokens.places"
PAGE = 256


def earlier_clips(folder: Path, shard: Any, dim: int) -> Iterator[list[IndexedClip]]:
    """Read all clips, page by page; tokens float16 [T, D] are views of a mapped file.

    Parameters
    ----------
    folder
        Of the collection.
    shard
        Its engine, which this process owns.
    dim
        D.
    """
    size = (folder / TOKENS_FILE).stat().st_size // (2 * dim)
    rows = np.memmap(folder / TOKENS_FILE, np.float16, "r", shape=(size, dim)) if size else None
    known = np.fromfile(folder / PLACES_FILE, PLACE)
    # Of a clip that was replaced the last entry counts.
    places = {
        int.from_bytes(point): (first, count)
        for point, first, count in zip(*(known[name].tolist() for name in PLACE.names or ()), strict=True)
    }
    offset = None
    while True:
        request = qdrant.ScrollRequest(offset=offset, limit=PAGE, with_payload=True, with_vector=False)
        records, offset = shard.scroll(request)
        clips = []
        for record in records:
            first, count = places[record.id.int]
            assert rows is not None
            payload = dict(record.payload)
            clips.append(IndexedClip(payload.pop("video_id"), rows[first : first + count], payload))
        yield clips
        if offset is None:
            return
