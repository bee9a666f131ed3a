"""A calibrated score says how often it is right, and when to say that nothing fits."""

import numpy as np
import pytest

from cico_model.calibration import calibrate, choose_threshold, fit_sigmoid


def test_fitted_probabilities_are_how_often_such_scores_are_right() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(-1, 1, 20_000)
    truth = 1 / (1 + np.exp(-(6 * scores - 2)))
    slope, intercept = fit_sigmoid(scores, rng.random(len(scores)) < truth)
    assert slope == pytest.approx(6, rel=0.06)
    assert intercept == pytest.approx(-2, rel=0.06)


def test_scores_that_separate_perfectly_stay_finite() -> None:
    scores = np.concatenate([np.full(30, 0.9), np.full(30, 0.1)])
    slope, intercept = fit_sigmoid(scores, scores > 0.5)
    assert np.isfinite([slope, intercept]).all()
    assert 1 / (1 + np.exp(-(slope * 0.9 + intercept))) == pytest.approx(31 / 32, abs=1e-3)


def test_scores_in_a_narrow_band_far_from_zero_are_fitted_alike() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 1, 2000)
    right = rng.random(2000) < 1 / (1 + np.exp(-2 * scores))
    wide, narrow = fit_sigmoid(scores, right), fit_sigmoid(0.4 + scores / 1000, right)
    assert narrow[0] == pytest.approx(wide[0] * 1000, rel=1e-4)


def test_the_threshold_is_the_best_of_all_that_could_be_chosen() -> None:
    rng = np.random.default_rng(3)
    right = rng.random(200) < 0.5
    best = np.round(rng.normal(0, 1, 200) + right, 1)  # with many that are equal

    def reached(threshold: float) -> tuple[float, float]:
        given = best >= threshold
        return float(right[given].mean()), float(right[given].sum() / 150)

    threshold, precision, recall = choose_threshold(best, right, answerable=150)
    assert reached(threshold) == pytest.approx((precision, recall))
    every = [reached(t) for t in np.unique(best)]
    assert 2 * precision * recall / (precision + recall) == pytest.approx(
        max(2 * p * r / (p + r) for p, r in every if p + r)
    )
    _, precision, recall = choose_threshold(best, right, answerable=150, precision=0.8)
    assert precision >= 0.8
    assert recall == max(r for p, r in every if p >= 0.8)


def test_queries_without_an_answer_are_told_so_about_as_often_as_promised() -> None:
    rng = np.random.default_rng(4)

    def asked(count: int) -> tuple[np.ndarray, np.ndarray]:
        right = np.eye(count, dtype=bool)
        return rng.normal(0, 0.12, (count, count)) + 0.5 * right, right

    known = calibrate(*asked(300))
    scores, right = asked(300)
    answers = [(s, r) for s, r in zip(scores.max(1), right[np.arange(300), scores.argmax(1)], strict=True)]
    answers += [(s, False) for s in np.where(right, -np.inf, scores).max(1)]
    given = [r for s, r in answers if known.fits(s)]
    assert np.mean(given) == pytest.approx(known.precision, abs=0.08)
    assert np.sum(given) / 300 == pytest.approx(known.recall, abs=0.08)
    assert known.queries == 300


def test_scores_that_tell_nothing_are_not_calibrated() -> None:
    right = np.eye(40, dtype=bool)
    scores = np.random.default_rng(5).normal(0, 1, (40, 40)) - 2 * right
    with pytest.raises(ValueError, match=r"right"):
        calibrate(scores, right, depth=40)
    with pytest.raises(ValueError, match="both right and wrong"):
        calibrate(scores, np.zeros_like(right))
