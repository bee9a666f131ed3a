"""Metrics count as published, once a query, and ties take the mean rank."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cico_model.metrics import retrieval_metrics, retrieval_ranks

NAMES = ("R@1", "R@5", "R@10", "MedR", "MeanR")


def test_published_metrics_are_reproduced(golden_dir: Path) -> None:
    golden = np.load(golden_dir / "metrics.npz")
    found = retrieval_metrics(golden["similarity"], golden["video_text_index"])
    for direction in ("v2t", "t2v"):
        values = [found[direction][name] for name in NAMES]
        assert all(type(value) is float for value in values)
        np.testing.assert_array_equal(np.float32(values), np.float32(golden[direction]))


def test_a_text_is_found_by_its_best_video() -> None:
    scores = torch.tensor([[0.1, 0.5], [0.9, 0.6], [0.8, 0.7]])
    ranks = retrieval_ranks(scores, torch.tensor([0, 0, 1]))
    assert ranks["t2v"].tolist() == [1, 1]
    assert ranks["v2t"].tolist() == [2, 1, 2]


def test_scoring_everything_alike_gains_nothing() -> None:
    found = retrieval_metrics(np.zeros((20, 20)), np.arange(20))
    for direction in ("v2t", "t2v"):
        assert found[direction] == {"R@1": 0.0, "R@5": 0.0, "R@10": 0.0, "MedR": 10.5, "MeanR": 10.5}


def test_a_text_without_a_video_is_an_answer_but_no_question() -> None:
    ranks = retrieval_ranks(np.array([[0.2, 0.9, 0.1], [0.0, 0.1, 0.3]]), [0, 2])
    assert ranks["t2v"].tolist() == [1, 1]
    assert ranks["v2t"].tolist() == [2, 1]


def test_bfloat16_scores_are_taken() -> None:
    assert retrieval_metrics(torch.eye(3, dtype=torch.bfloat16), [0, 1, 2])["t2v"]["R@1"] == 100


@pytest.mark.parametrize(
    ("scores", "index", "message"),
    [
        (np.zeros((2, 2)), [0], r"\(2, 2\) with \(1,\)"),
        (np.zeros((2, 2)), [0, 5], "text is 5: there are 2 texts"),
        (np.array([[0.0, 1.0], [math.nan, 0.0]]), [0, 1], "row 1 of the scores is not a number"),
    ],
)
def test_scores_that_make_no_sense_are_refused(scores: np.ndarray, index: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(scores, index)
