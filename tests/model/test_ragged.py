"""One text with videos that lie behind each other: as the padded batches say."""

import numpy as np
import pytest
import torch

from cico_model.ragged import ragged_scores
from cico_model.similarity import score_matrix

LENGTHS = np.array([1, 7, 64, 2, 30])


def drawn(seed: int, count: int, dim: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


@pytest.mark.parametrize(("weight", "temperature"), [(0.5, 0.07), (1.0, 0.07), (0.0, 0.025), (0.3, 1.0)])
def test_it_is_the_score_of_padded_batches(weight: float, temperature: float) -> None:
    rows, text = 3 * drawn(0, int(LENGTHS.sum())), drawn(1, 9)
    text[3] = rows[5]  # a word that a window answers fully
    video = torch.zeros(len(LENGTHS), int(LENGTHS.max()), rows.shape[1])
    valid = torch.arange(video.shape[1]) < torch.from_numpy(LENGTHS)[:, None]
    video[valid] = torch.from_numpy(rows)
    expected = score_matrix(
        video,
        torch.from_numpy(text)[None],
        valid,
        torch.ones(1, len(text), dtype=torch.bool),
        weight=weight,
        temperature=temperature,
    )[:, 0]
    scores = ragged_scores(rows, LENGTHS, text, weight=weight, temperature=temperature)
    np.testing.assert_allclose(scores, expected.numpy(), atol=2e-6)


def test_the_most_opposed_tokens_at_the_least_temperature_stay_finite() -> None:
    rows = drawn(2, 4)
    scores = ragged_scores(rows, np.array([4]), -np.repeat(rows[:1], 2, axis=0), temperature=0.025)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("lengths", "width", "words", "temperature", "says"),
    [
        ([2, 2], 24, 1, 0.07, "not 4 tokens"),
        ([5], 23, 1, 0.07, "not 5 tokens as wide"),
        ([5, 0], 24, 1, 0.07, "no token"),
        ([], 24, 1, 0.07, "no token"),
        ([5], 24, 0, 0.07, "no token"),
        ([5], 24, 1, 0.01, "temperature"),
    ],
)
def test_what_does_not_fit_is_refused(
    lengths: list[int], width: int, words: int, temperature: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        ragged_scores(
            drawn(0, 5), np.array(lengths, dtype=int), drawn(1, words, width), temperature=temperature
        )
