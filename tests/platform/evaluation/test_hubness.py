"""Corrections for hubs, against sums written out in loops and what is known of small cases."""

import math

import numpy as np
import pytest

from cico_model.metrics import retrieval_ranks, summarise_ranks
from cico_platform.evaluation.hubness import (
    NEIGHBOURS,
    Bank,
    corrections,
    dual_softmax,
    hubness,
    log_mass,
    querybank_norm,
)

SCALE = 12.0


@pytest.fixture
def scores() -> np.ndarray:
    """Scores of 70 videos with 50 texts, in which one text and one video are hubs; some are below zero."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0.1, 0.2, size=(70, 50)).astype(np.float32)
    scores[np.arange(70), owners()] += 0.3
    scores[:, 7] += 0.4
    scores[3] += 0.4
    return scores


def owners() -> np.ndarray:
    return np.arange(70) % 50


def test_a_candidate_that_everyone_finds_is_a_hub() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 100))
    even = hubness(scores)
    scores[:, 7] += 100
    hub = hubness(scores)
    assert hub["most"] == 50.0
    assert hub["skewness"] > even["skewness"] + 1
    assert even["k"] == NEIGHBOURS


def test_the_skewness_is_that_of_the_counts() -> None:
    """Three candidates, one of which is the nearest of all: 4, 0, 0, 0, ... queries."""
    scores = np.zeros((4, 12))
    scores[:, :10] = 1.0
    counts = np.array([4.0] * 10 + [0.0] * 2)
    third = (((counts - counts.mean()) / counts.std()) ** 3).mean()
    assert hubness(scores) == {"k": 10, "skewness": round(third, 4), "never": round(2 / 12, 4), "most": 4.0}


def test_more_queries_than_a_block_are_counted_alike() -> None:
    scores = np.random.default_rng(0).normal(size=(2500, 30))
    counts = np.zeros(30)
    for row in scores:
        counts[np.argsort(-row)[:10]] += 1
    assert hubness(scores)["most"] == counts.max()
    np.testing.assert_allclose(
        log_mass(scores, 3.0), np.log(np.exp(3.0 * scores).sum(axis=0)), rtol=0, atol=1e-12
    )


def test_dual_softmax_is_the_score_times_its_softmax_over_the_queries(scores: np.ndarray) -> None:
    found = dual_softmax(scores, SCALE)(scores)
    for query, candidate in ((0, 0), (5, 7), (69, 49)):
        score = float(scores[query, candidate])
        prior = math.exp(SCALE * score) / sum(math.exp(SCALE * float(s)) for s in scores[:, candidate])
        assert found[query, candidate] == pytest.approx(score * prior if score > 0 else score, rel=1e-9)


def test_dual_softmax_does_not_lift_a_score_below_zero() -> None:
    scores = np.array([[-0.5, -0.1], [0.9, -0.2]])
    assert dual_softmax(scores, 20.0)(scores)[0].argmax() == 1


def test_querybank_norm_divides_by_the_bank_where_a_hub_came_first() -> None:
    """Candidate 0 is the best of the bank's only query, and so a hub; the first query has it first."""
    bank = np.array([[0.9, 0.1, 0.0]])
    queries = np.array([[0.8, 0.6, 0.1], [0.2, 0.3, 0.7]])
    found = querybank_norm(bank, scale=2.0)(queries)
    np.testing.assert_allclose(found[0], 2 * (queries[0] - bank[0]))
    np.testing.assert_allclose(found[1], 2 * queries[1])
    assert found[0].argmax() == 1


def test_querybank_norm_is_the_dynamic_inverted_softmax(scores: np.ndarray) -> None:
    bank = np.random.default_rng(3).normal(0.1, 0.2, size=(40, 50))
    found = querybank_norm(bank, SCALE)(scores)
    active = {int(row.argmax()) for row in bank}
    changed = 0
    for query in range(len(scores)):
        raw = np.exp(SCALE * scores[query].astype(np.float64))
        inverted = [raw[c] / sum(math.exp(SCALE * b) for b in bank[:, c]) for c in range(50)]
        hub = int(scores[query].argmax()) in active
        changed += hub
        expected = np.array(inverted) if hub else raw
        np.testing.assert_array_equal(np.argsort(-found[query]), np.argsort(-expected))
    assert 0 < changed < len(scores)


def test_corrections_lower_the_skewness_and_are_labelled(scores: np.ndarray) -> None:
    found = corrections(scores, owners(), SCALE, Bank.of_queries(scores))
    plain = {way: summarise_ranks(r) for way, r in retrieval_ranks(scores, owners()).items()}
    for name in ("dual_softmax", "qb_norm"):
        assert found[name]["uses_query_set"] is True
        for way, own in (("t2v", scores.T), ("v2t", scores)):
            assert found[name][way]["skewness"] < hubness(own)["skewness"]
            assert found[name][way]["R@1"] > plain[way]["R@1"]
    assert found["qb_norm"]["bank"] == "query set"


def test_the_ranks_of_corrected_scores_are_those_of_the_whole_matrix(scores: np.ndarray) -> None:
    found = corrections(scores, owners(), SCALE, Bank.of_queries(scores))["dual_softmax"]
    exact = scores.astype(np.float64)
    over_videos = np.exp(SCALE * exact) / np.exp(SCALE * exact).sum(axis=0)
    over_texts = np.exp(SCALE * exact) / np.exp(SCALE * exact).sum(axis=1, keepdims=True)
    positive = exact > 0
    for way, prior in (("v2t", over_videos), ("t2v", over_texts)):
        ranks = retrieval_ranks(np.where(positive, exact * prior, exact), owners())[way]
        expected = {name: round(value, 2) for name, value in summarise_ranks(ranks).items()}
        assert {name: found[way][name] for name in expected} == expected
