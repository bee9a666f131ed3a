"""DCG and NDCG: what an answer gains by its rank, with one right answer or several."""

import numpy as np
import pytest

from cico_model.metrics import cumulated_gain, discounted_gain, normalised_gains, retrieval_ranks


def test_an_answer_gains_by_its_rank_and_nothing_below_ten() -> None:
    assert discounted_gain(np.array([1.0, 2.0, 3.0, 10.0, 10.5, 11.0])).tolist() == pytest.approx(
        [1, 1 / np.log2(3), 0.5, 1 / np.log2(11), 0, 0]
    )
    assert cumulated_gain(np.array([1.0, 3.0, 20.0])) == pytest.approx(50)


def test_with_one_right_answer_each_both_say_the_same() -> None:
    scores = np.random.default_rng(0).normal(size=(40, 40))
    ranks = retrieval_ranks(scores, np.arange(40))["t2v"]
    assert 100 * normalised_gains(scores, np.arange(40)).mean() == pytest.approx(cumulated_gain(ranks))


def test_all_videos_of_a_text_are_right_answers() -> None:
    # Text 0 owns the videos at ranks 1 and 3; text 1 that at rank 2.
    scores = np.array([[0.9, 0.8], [0.1, 0.1], [0.5, 0.4]])
    first, second = normalised_gains(scores, [0, 0, 1])
    assert first == pytest.approx((1 + 0.5) / (1 + 1 / np.log2(3)))
    assert second == pytest.approx(1 / np.log2(3))


def test_right_answers_that_tie_with_each_other_lose_nothing_and_with_wrong_ones_half_of_the_way() -> None:
    assert normalised_gains(np.array([[0.5], [0.5], [0.1]]), [0, 0, 0]).tolist() == [1.0]
    alike = normalised_gains(np.zeros((3, 3)), [0, 1, 2])
    assert alike.tolist() == pytest.approx([1 / np.log2(3)] * 3)


def test_more_right_answers_than_ten_can_all_come_first() -> None:
    scores = np.concatenate([np.ones(15), np.zeros(5)])[:, None].repeat(2, axis=1)
    owners = np.array([0] * 15 + [1] * 5)
    assert normalised_gains(scores, owners)[0] == pytest.approx(1)
    assert normalised_gains(scores, owners)[1] == 0
