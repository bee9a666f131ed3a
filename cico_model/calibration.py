"""What a score is worth: how likely a result is right, and when it is better to say that nothing fits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
ITERATIONS = 100


@dataclass(frozen=True)
class Calibration:
    """How scores of one direction of search become probabilities, and how well the threshold does.

    Attributes
    ----------
    slope, intercept
        The probability of a score s is 1 / (1 + exp(-(slope * s + intercept))).
    threshold
        Probability of the best result below which nothing fits.
    precision, recall
        Of the answers given at that threshold, how many are right; of the queries that have an answer, how
        many get it. Each query was asked twice: with its answer in the collection, and without.
    queries
        How many queries that rests on.
    """

    slope: float
    intercept: float
    threshold: float
    precision: float
    recall: float
    queries: int

    def probability(self, score: float) -> float:
        """The probability that a result of this score is right."""
        return float(1 / (1 + np.exp(-np.clip(self.slope * score + self.intercept, -500, 500))))

    def fits(self, score: float) -> bool:
        """Whether a best result of this score is likely enough to be shown as an answer."""
        return self.probability(score) >= self.threshold


def calibrate(
    scores: Floats, right: NDArray[np.bool_], *, depth: int = 10, precision: float | None = None
) -> Calibration:
    """Learn what scores mean from queries whose right answers are known.

    Probabilities are fitted to the `depth` best results of each query: what a person sees. The threshold is
    chosen on each query's best result, once with its right answers among the candidates and once without.

    Parameters
    ----------
    scores
        float [Q, C], queries by candidates; higher is better.
    right
        bool [Q, C].
    precision
        The least precision that the threshold must have, at the most recall; None takes the best F1.

    Raises
    ------
    ValueError
        If the scores tell right from wrong no better than chance, or never so precisely.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> right = np.eye(50, dtype=bool)
    >>> known = calibrate(rng.normal(0, 0.1, (50, 50)) + 0.6 * right, right)
    >>> known.probability(0.7) > 0.9, known.probability(0.2) < 0.2, known.fits(0.6), known.fits(0.1)
    (True, True, True, False)
    """
    asked = right.any(axis=1) & ~right.all(axis=1)
    scores, right = np.asarray(scores, np.float64)[asked], right[asked]
    if not len(scores):
        raise ValueError("no query has both right and wrong candidates")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    slope, intercept = fit_sigmoid(
        np.take_along_axis(scores, order, 1).ravel(), np.take_along_axis(right, order, 1).ravel()
    )
    first = order[:, :1]
    with_answer, found = np.take_along_axis(scores, first, 1)[:, 0], np.take_along_axis(right, first, 1)[:, 0]
    without = np.where(right, -np.inf, scores).max(axis=1)
    cut, reached, recall = choose_threshold(
        np.concatenate([with_answer, without]),
        np.concatenate([found, np.zeros(len(without), bool)]),
        answerable=len(scores),
        precision=precision,
    )
    known = Calibration(slope, intercept, 0.0, reached, recall, len(scores))
    return replace(known, threshold=known.probability(cut))


def fit_sigmoid(scores: Floats, right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the probability that a score [N] is right, by Platt's method.

    J. Platt, "Probabilistic outputs for support vector machines" (1999), with its smoothed targets, by the
    Newton method with backtracking of Lin, Lin and Weng, "A note on Platt's probabilistic outputs" (2007).

    Raises
    ------
    ValueError
        If a higher score isn't likelier to be right.
    """
    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        raise ValueError("there must be both right and wrong results")
    target = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    mean, deviation = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - mean) / deviation, np.ones(len(scores))], axis=1)

    def loss(at: Floats) -> float:
        logits = design @ at
        return float((np.logaddexp(0, logits) - target * logits).sum())

    at = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    for _ in range(ITERATIONS):
        chance = 1 / (1 + np.exp(-np.clip(design @ at, -500, 500)))
        gradient = design.T @ (chance - target)
        if np.abs(gradient).max() < 1e-8 * len(scores):
            break
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + 1e-12 * np.eye(2)
        at = _descend(loss, at, np.linalg.solve(curvature, gradient))
    if at[0] <= 1e-6:
        raise ValueError("a higher score is no likelier to be right")
    return float(at[0] / deviation), float(at[1] - at[0] * mean / deviation)


def _descend(loss: Callable[[Floats], float], at: Floats, step: Floats) -> Floats:
    """A Newton step, halved until the loss falls."""
    before = loss(at)
    for _ in range(40):
        if loss(at - step) < before:
            return at - step
        step = step / 2
    return at


def choose_threshold(
    best: Floats, right: NDArray[np.bool_], *, answerable: int, precision: float | None = None
) -> tuple[float, float, float]:
    """The score above which best results are given as answers, and the precision and recall of doing so.

    Parameters
    ----------
    best, right
        Score of each query's best result, and whether it is right; [N].
    answerable
        How many of the queries have a right answer.
    precision
        As for `calibrate`.

    Examples
    --------
    >>> right = np.array([True, True, False, True, False])
    >>> best = np.array([0.9, 0.8, 0.4, 0.3, 0.1])
    >>> threshold, precision, recall = choose_threshold(best, right, answerable=3)
    >>> round(threshold, 2), precision, recall
    (0.2, 0.75, 1.0)
    >>> choose_threshold(best, right, answerable=3, precision=0.9)[1:]
    (1.0, 0.6666666666666666)
    """
    order = np.argsort(-best, kind="stable")
    ranked, hits = best[order], np.cumsum(right[order])
    precisions, recalls = hits / np.arange(1, len(best) + 1), hits / answerable
    if precision is None:
        worth = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
    else:
        worth = np.where(precisions >= precision, recalls, -1.0)
    worth[:-1][ranked[:-1] == ranked[1:]] = -1.0  # equal scores can't be told apart
    place = int(worth.argmax())
    if worth[place] <= 0:
        raise ValueError("no threshold gives answers that are right often enough")
    below = ranked[place + 1] if place + 1 < len(ranked) else ranked[place]
    return float((ranked[place] + below) / 2), float(precisions[place]), float(recalls[place])
