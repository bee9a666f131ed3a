"""Canary queries: clips spread over a collection are searched for with their own tokens."""

import numpy as np
import pyarrow as pa

from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import Tokens
from cico_platform.index.set_encoding import point_vector, query_vector

CANARIES = 8
# A clip is among so many whose encoding is nearest to its own tokens, or all of them are as near.
DEPTH = 100
# Of a cosine: encodings are kept in half precision.
TOLERANCE = 0.02


def spread(names: pa.ChunkedArray) -> list[str]:
    """Choose some of the names, evenly; always the same ones."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(CANARIES, len(names))).astype(np.int64))
    found: list[str] = names.take(pa.array(chosen)).to_pylist()
    return found


def lost_canaries(index: VectorIndex, collection: str, names: list[str]) -> list[str]:
    """Return those of these clips that are not found by their own tokens."""
    held = index.fetch(collection, names, tokens=True, fields=())
    tokens = {hit.video_id: np.asarray(hit.tokens) for hit in held}
    return [name for name in names if name not in tokens or not _finds(index, collection, name, tokens[name])]


def _finds(index: VectorIndex, collection: str, name: str, tokens: Tokens) -> bool:
    hits = list(index.query(collection, tokens, limit=DEPTH))
    if not hits:
        return False
    # What is due to the clip; a server that compares quantised vectors may give everything less.
    due = min(float(query_vector(tokens) @ point_vector(tokens)), hits[0].score) - TOLERANCE
    own = next((hit.score for hit in hits if hit.video_id == name), hits[-1].score)
    return own >= due
