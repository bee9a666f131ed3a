"""Retrieval metrics both ways: how often, and how high, the right answer is ranked (paper, section 4.1)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Scores = NDArray[Any]  # float32 or float64
CUTS = (1, 5, 10)
# Of DCG.
DEPTH = 10
# Queries that are ranked at a time, so that a large split needs no second matrix of its size.
BLOCK = 1024


def retrieval_metrics(
    similarity: Tensor | ArrayLike, video_text_index: Tensor | Sequence[int] | NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """R@1, R@5, R@10 in percent, median and mean rank, for both directions (method 8).

    Parameters
    ----------
    similarity
        Float [V, T]: score of each video with each text.
    video_text_index
        Integers [V]: the text that each video says. A text may own several videos.

    Returns
    -------
    dict[str, dict[str, float]]
        `{"t2v": {"R@1", "R@5", "R@10", "MedR", "MeanR"}, "v2t": {...}}`.

    Raises
    ------
    ValueError
        If shapes don't fit, an index names no text, or a score is not a number.

    Examples
    --------
    >>> retrieval_metrics([[0.9, 0.1], [0.8, 0.2]], [0, 1])["v2t"]["R@1"]
    50.0
    """
    ranks = retrieval_ranks(similarity, video_text_index)
    return {direction: summarise_ranks(found) for direction, found in ranks.items()}


def retrieval_ranks(
    similarity: Tensor | ArrayLike, video_text_index: Tensor | Sequence[int] | NDArray[np.int64]
) -> dict[str, Floats]:
    """Rank of the right answer for each query, 1 being the best.

    Video-to-text: each video ranks all texts. Text-to-video: each text that owns a video ranks the texts'
    groups of videos, a group scoring by its best video. Candidates that tie share the mean of their ranks, so
    that a query counts once, and a model that scores everything alike gains nothing (quirk 3).

    Returns
    -------
    dict[str, NDArray[np.float64]]
        `{"t2v": one rank a text that owns a video, by text, "v2t": one rank a video}`.
    """
    scores = as_array(similarity)
    if scores.dtype != np.float32:  # which is compared as it is: a large split is not copied
        scores = scores.astype(np.float64)
    owners = as_array(video_text_index).astype(np.int64)
    if scores.ndim != 2 or owners.shape != scores.shape[:1] or not len(owners):
        raise ValueError(f"scores [V, T] need an index [V], not {scores.shape} with {owners.shape}")
    if owners.min() < 0 or owners.max() >= scores.shape[1]:
        raise ValueError(f"a video's text is {int(owners.max())}: there are {scores.shape[1]} texts")
    if np.isnan(scores).any():
        raise ValueError(f"row {int(np.isnan(scores).any(axis=1).argmax())} of the scores is not a number")
    v2t = rank_in_rows(scores, owners)
    present = np.unique(owners)
    t2v = np.empty(len(present))
    for rows in blocks(len(present)):
        best = best_of_groups(scores[:, present[rows]].T, owners)
        t2v[rows] = rank_in_rows(best, np.arange(rows.start, rows.stop))
    return {"t2v": t2v, "v2t": v2t}


def best_of_groups(scores: Scores, owners: NDArray[np.int64]) -> Scores:
    """Scores of groups of videos, [Q, G] from [Q, V]: a group's best video counts; groups in their order.

    Examples
    --------
    >>> best_of_groups(np.array([[0.1, 0.9, 0.5]]), np.array([7, 2, 7]))
    array([[0.9, 0.5]])
    """
    order = np.argsort(owners, kind="stable")
    first = np.flatnonzero(np.diff(owners[order], prepend=owners.min() - 1))
    best: Scores = np.maximum.reduceat(scores[:, order], first, axis=1)
    return best


def blocks(count: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices of at most `size` rows, in order, that cover `count` rows."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def rank_in_rows(scores: Scores, right: NDArray[np.int64]) -> Floats:
    """Rank, from 1, of one column in each row; ties take the mean rank."""
    own = scores[np.arange(len(scores)), right][:, None]
    better = (scores > own).sum(axis=1)
    equal = (scores == own).sum(axis=1)
    ranks: Floats = better + (equal + 1) / 2
    return ranks


def summarise_ranks(ranks: Floats) -> dict[str, float]:
    """R@k in percent, median and mean of ranks."""
    recalls = {f"R@{k}": float(100 * (ranks <= k).mean()) for k in CUTS}
    return {**recalls, "MedR": float(np.median(ranks)), "MeanR": float(ranks.mean())}


def discounted_gain(ranks: Floats, depth: int = DEPTH) -> Floats:
    """Gain of an answer at this rank: 1 / log2(1 + rank), and 0 for ranks greater than `depth`.

    Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002), in the form with a
    logarithm of base 2 that discounts the second place, too.

    Examples
    --------
    >>> discounted_gain(np.array([1.0, 3.0, 11.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    gains: Floats = np.where(ranks <= depth, 1 / np.log2(1 + ranks), 0.0)
    return gains


def cumulated_gain(ranks: Floats, depth: int = DEPTH) -> float:
    """DCG@10 in percent: the mean gain of queries that have one right answer each, of these ranks."""
    return float(100 * discounted_gain(ranks, depth).mean())


def normalised_gains(
    similarity: Tensor | ArrayLike,
    video_text_index: Tensor | Sequence[int] | NDArray[np.int64],
    depth: int = DEPTH,
) -> Floats:
    """NDCG@10 of each text that owns a video, 0 to 1: all of its videos are right answers.

    Each text ranks all videos. Right answers that tie with wrong ones take the mean of the ranks that they
    may have. The gains are divided by those of a ranking in which all right answers come first.

    Examples
    --------
    >>> normalised_gains([[0.9], [0.1], [0.5]], [0, 0, 0]).tolist()
    [1.0]
    """
    scores, owners = as_array(similarity), as_array(video_text_index).astype(np.int64)
    found = []
    for text in np.unique(owners):
        column, right = scores[:, text], owners == text
        own, wrong = np.sort(column[right])[::-1], column[~right]
        first = np.arange(1, len(own) + 1)
        above = (wrong > own[:, None]).sum(axis=1) + (wrong == own[:, None]).sum(axis=1) / 2
        gained = discounted_gain(first + above, depth).sum()
        found.append(gained / discounted_gain(first.astype(np.float64), depth).sum())
    return np.array(found)


def as_array(values: Tensor | ArrayLike) -> NDArray[np.generic]:
    """A tensor of any device and precision, or anything like an array, as one."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    return np.asarray(values)
