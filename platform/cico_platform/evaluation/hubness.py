"""Hubness: candidates that answer everything, and what correcting for them does to the metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.metrics import best_of_groups, blocks, rank_in_rows, summarise_ranks

Floats = NDArray[np.float64]
Scores = NDArray[Any]
Correct = Callable[[Scores], Scores]
NEIGHBOURS = 10
# Bogolin et al., section 4.2: the inverse temperature of the normalisation, for cosines.
QUERYBANK_SCALE = 20.0


@dataclass(frozen=True)
class Bank:
    """Queries that tell which candidates are hubs, by their scores.

    Attributes
    ----------
    t2v
        [B, V]: texts of the bank with the split's videos.
    v2t
        [B, T]: videos of the bank with the split's texts.
    uses_query_set
        Whether the bank is the queries that are judged, which a search for one sentence doesn't have.
    described
        `{"bank", "texts", "videos", "of_texts", "of_videos"}`: where its queries are from, and how many.
    """

    t2v: Scores
    v2t: Scores
    uses_query_set: bool
    described: dict[str, Any]

    @classmethod
    def of_queries(cls, scores: Scores) -> "Bank":
        """The bank that the judged queries themselves are, from their scores [V, T]."""
        videos, texts = scores.shape
        counts = {"texts": texts, "videos": videos, "of_texts": texts, "of_videos": videos}
        return cls(scores.T, scores, True, {"bank": "query set", **counts})


def hubness(scores: Scores, correct: Correct | None = None) -> dict[str, float]:
    """How unevenly candidates are found, from scores [queries, candidates], corrected or not.

    `skewness` of the number of queries that have a candidate among their ten nearest (Radovanović et al.,
    "Hubs in Space", JMLR 2010), the part of candidates that none has (`never`), the largest number (`most`).
    """
    nearest = min(NEIGHBOURS, scores.shape[1])
    counts = np.zeros(scores.shape[1])
    for rows in blocks(len(scores)):
        block = scores[rows] if correct is None else correct(scores[rows])
        found = np.argpartition(-block, nearest - 1, axis=1)[:, :nearest]
        counts += np.bincount(found.ravel(), minlength=scores.shape[1])
    spread = counts.std()
    skewness = float((((counts - counts.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0
    return {
        "k": nearest,
        "skewness": round(skewness, 4),
        "never": round(float((counts == 0).mean()), 4),
        "most": float(counts.max()),
    }


def corrections(scores: Scores, owners: NDArray[np.int64], scale: float, bank: Bank) -> dict[str, Any]:
    """What correcting for hubs does: metrics both ways with dual softmax and with QB-Norm.

    Parameters
    ----------
    scores
        [V, T], cosine-like.
    owners
        The text of each video.
    scale
        The model's learned scale of scores, exp(logit_scale).
    bank
        For QB-Norm.

    Returns
    -------
    dict
        `{"dual_softmax": {"uses_query_set": true, "scale", "t2v": {metrics, "skewness"}, "v2t": {...}},
        "qb_norm": {"uses_query_set", "bank", "texts", "videos", "of_texts", "of_videos", "scale", ...}}`.
    """
    both = {"t2v": scores.T, "v2t": scores}
    banks = {"t2v": bank.t2v, "v2t": bank.v2t}
    dual = {way: _judged(way, s, owners, dual_softmax(s, scale)) for way, s in both.items()}
    normed = {way: _judged(way, s, owners, querybank_norm(banks[way])) for way, s in both.items()}
    return {
        "dual_softmax": {"uses_query_set": True, "scale": round(scale, 4), **dual},
        "qb_norm": {
            "uses_query_set": bank.uses_query_set,
            **bank.described,
            "scale": QUERYBANK_SCALE,
            **normed,
        },
    }


def dual_softmax(queries: Scores, scale: float) -> Correct:
    """Scores times each candidate's softmax over all queries (Cheng et al., CAMoE, 2021, section 3.4).

    A candidate that is near to all queries has little of its softmax for any one. The other queries are
    used. A score below zero, which a small factor would lift above a clearer one, stays as it is.

    Parameters
    ----------
    queries
        Scores of all queries, [Q, C].
    scale
        Multiplies scores within the softmax: the model's own, exp(logit_scale).

    Examples
    --------
    >>> scores = np.array([[0.8, 0.7], [0.8, 0.1]])
    >>> dual_softmax(scores, 10.0)(scores).round(3)
    array([[0.4  , 0.698],
           [0.4  , 0.   ]])
    """
    mass = log_mass(queries, scale)

    def correct(block: Scores) -> Scores:
        exact = block.astype(np.float64)
        return np.where(exact > 0, exact * np.exp(scale * exact - mass), exact)

    return correct


def querybank_norm(bank: Scores, scale: float = QUERYBANK_SCALE) -> Correct:
    """The dynamic inverted softmax of a bank of queries, QB-Norm (Bogolin et al., CVPR 2022, section 3.3).

    exp(scale s) of a candidate is divided by its sum over the bank, for those queries whose best candidate
    is the best of some query in the bank; other queries keep their scores. In logarithms: only the order of
    one query's candidates has a meaning.

    Parameters
    ----------
    bank
        Scores of the bank's queries, [B, C].
    """
    mass = log_mass(bank, scale)
    hubs = np.zeros(bank.shape[1], dtype=bool)
    for rows in blocks(len(bank)):
        hubs[bank[rows].argmax(axis=1)] = True

    def correct(block: Scores) -> Scores:
        exact = block.astype(np.float64)
        active = hubs[exact.argmax(axis=1)]
        return scale * exact - np.where(active[:, None], mass, 0.0)

    return correct


def log_mass(queries: Scores, scale: float) -> Floats:
    """log of the sum over queries of exp(scale s), one a candidate: [C] from [Q, C]."""
    mass = np.full(queries.shape[1], -np.inf)
    for rows in blocks(len(queries)):
        block = scale * queries[rows].astype(np.float64)
        top = block.max(axis=0)
        mass = np.logaddexp(mass, top + np.log(np.exp(block - top).sum(axis=0)))
    return mass


def _judged(way: str, queries: Scores, owners: NDArray[np.int64], correct: Correct) -> dict[str, float]:
    """Metrics of corrected queries [Q, C], and the skewness that is left."""
    ranks = []
    asked = np.unique(owners) if way == "t2v" else np.arange(len(owners))
    for rows in blocks(len(asked)):
        block = correct(queries[asked[rows]])
        if way == "t2v":
            ranks.append(rank_in_rows(best_of_groups(block, owners), np.arange(rows.start, rows.stop)))
        else:
            ranks.append(rank_in_rows(block, owners[rows]))
    found = {name: round(value, 2) for name, value in summarise_ranks(np.concatenate(ranks)).items()}
    return {**found, "skewness": hubness(queries, correct)["skewness"]}
