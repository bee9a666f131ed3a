"""The report's figures: intervals that hold the figure, hubs that are seen."""

import numpy as np
import pytest

from cico_platform.training.evaluate import EvaluationSettings, bootstrap, hubness, report_of
from cico_platform.training.pairs import Pairs


def pairs(owners: list[int]) -> Pairs:
    texts = [f"text {number}" for number in range(max(owners) + 1)]
    return Pairs(
        [f"v{i}" for i in range(len(owners))], [np.ones((1, 2), np.float16)] * len(owners), texts, owners
    )


def test_a_perfect_model_gets_a_perfect_report_without_hubs() -> None:
    report = report_of(np.eye(30, dtype=np.float32), pairs(list(range(30))), EvaluationSettings())
    assert (report["texts"], report["videos"]) == (30, 30)
    for way in ("t2v", "v2t"):
        assert report[way] == {"R@1": 100.0, "R@5": 100.0, "R@10": 100.0, "MedR": 1.0, "MeanR": 1.0}
        assert report["intervals"][way]["R@1"] == [100.0, 100.0]


def test_the_interval_of_a_share_is_that_of_the_binomial() -> None:
    ranks = np.array([1.0] * 100 + [20.0] * 100)
    low, high = bootstrap(ranks, 4000, np.random.default_rng(0))["R@1"]
    assert low == pytest.approx(50 - 1.96 * 100 * np.sqrt(0.25 / 200), abs=1.0)
    assert high == pytest.approx(50 + 1.96 * 100 * np.sqrt(0.25 / 200), abs=1.0)


def test_a_candidate_that_everyone_finds_is_a_hub() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 100))
    even = hubness(scores)
    scores[:, 7] += 100
    hub = hubness(scores)
    assert hub["most"] == 50.0
    assert hub["skewness"] > even["skewness"] + 1
    assert even["k"] == 10
