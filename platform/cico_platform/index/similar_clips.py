"""Clips that look alike: searched by the tokens of a video, whatever they say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cico_model.ragged import unit_rows
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import Filters, Hits, Tokens
from cico_platform.index.ranking import Ranked, tokens_of


def similar_clips(
    index: VectorIndex,
    collection: str,
    tokens: Tokens,
    limit: int,
    filters: Filters | None = None,
    offset: int = 0,
    without: Sequence[str] = (),
) -> list[Ranked]:
    """The clips in which the windows of a video are found best, best first, without the first `offset`.

    Parameters
    ----------
    tokens
        float [Q, D] of the video's windows.
    without
        Clips that are left out: the one that the windows are from.

    Returns
    -------
    list[Ranked]
        The score is the mean over the video's windows of the largest cosine with a window of the clip, -1 to
        1. There are no words.
    """
    wanted = offset + limit + len(without)
    # As many are ranked whatever the page, so that pages never repeat or miss a clip.
    ranked = max(index.candidates(collection), wanted)
    hits = index.query(
        collection,
        tokens,
        limit=ranked,
        candidates=ranked,
        filters=filters,
        with_tokens=True,
    )
    if not hits:
        return []
    scores = _likeness(hits, tokens)
    order = np.argsort(-scores, kind="stable")[:wanted]
    taken = zip(hits.take(order.tolist()), scores[order].tolist(), strict=True)
    found = [
        Ranked(hit, score, []) for hit, score in taken if hit is not None and hit.video_id not in without
    ]
    return found[offset : offset + limit]


def _likeness(hits: Hits, tokens: Tokens) -> NDArray[np.float32]:
    if hits.products is not None and hits.lengths is not None:
        firsts = np.cumsum(hits.lengths) - hits.lengths
        best = np.maximum.reduceat(hits.products, firsts, axis=1)
        return np.asarray(best.mean(axis=0), np.float32)
    query = unit_rows(np.asarray(tokens))
    means = [(query @ unit_rows(tokens_of(hit)).T).max(axis=1).mean() for hit in hits]
    return np.array(means, np.float32)
