"""The score of one text with many videos that lie behind each other, without padding: what a search needs."""

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.similarity import LEAST_TEMPERATURE, TEMPERATURE

Float = NDArray[np.float32]


def ragged_scores(
    video_tokens: NDArray[np.floating],
    lengths: NDArray[np.integer],
    text_tokens: NDArray[np.floating],
    *,
    weight: float = 0.5,
    temperature: float = TEMPERATURE,
) -> Float:
    """Score of each video with a text: what `score_matrix` says of valid tokens, without its batches.

    Parameters
    ----------
    video_tokens
        Float [N, D]: the tokens of all videos, one video after the other, of any length.
    lengths
        Integers [V], each at least 1: how many of them are whose; their sum is N.
    text_tokens
        Float [L, D].
    weight, temperature
        As in `score_matrix`.

    Returns
    -------
    NDArray
        float32 [V]: `weight` V2T + (1 - `weight`) T2V.

    Raises
    ------
    ValueError
        If shapes don't fit, or a side has no token.

    Examples
    --------
    >>> signs = np.eye(3, dtype=np.float32)
    >>> scores = ragged_scores(signs, np.array([2, 1]), signs[:2])
    >>> bool(scores[0] > scores[1])
    True
    """
    if temperature < LEAST_TEMPERATURE:
        raise ValueError(f"the temperature must be {LEAST_TEMPERATURE} or more, not {temperature}")
    if not len(lengths) or int(lengths.min()) < 1 or not len(text_tokens):
        raise ValueError("a video or the text has no token")
    if int(lengths.sum()) != len(video_tokens) or video_tokens.shape[1] != text_tokens.shape[1]:
        raise ValueError(
            f"{video_tokens.shape} are not {int(lengths.sum())} tokens as wide as {text_tokens.shape}"
        )
    text = unit_rows(text_tokens)
    firsts = np.cumsum(lengths) - lengths
    # Lengths of the video's tokens are divided out of the products, which are fewer.
    videos = single_precision(video_tokens)
    norms = np.sqrt(np.einsum("nd,nd->n", videos, videos))
    # By torch, as the conversion is: NumPy's own threads beside torch's would wait for each other's cores.
    products: Float = (torch.from_numpy(videos) @ torch.from_numpy(text).T).numpy()
    products /= np.maximum(norms, 1e-12)[:, None]
    # A product is at most 1: subtracting that keeps the exponentials from overflowing.
    weights = np.exp((products - 1) * np.float32(1 / temperature))
    weighted = weights * products
    to_text = np.add.reduceat(weighted.sum(axis=1) / weights.sum(axis=1), firsts) / lengths
    to_video = np.add.reduceat(weighted, firsts) / np.add.reduceat(weights, firsts)
    return np.asarray(weight * to_text + (1 - weight) * to_video.mean(axis=1), dtype=np.float32)


def single_precision(rows: NDArray[np.floating]) -> Float:
    """The same numbers in float32; of half precision ten times as fast as NumPy makes them."""
    if rows.dtype != np.float16:
        return np.asarray(rows, dtype=np.float32)
    whole: Float = torch.from_numpy(np.require(rows, requirements=["C", "W"])).float().numpy()
    return whole


def unit_rows(rows: NDArray[np.floating]) -> Float:
    """Rows of length 1, float32; a row of zeros stays."""
    rows = single_precision(rows)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12), np.float32)
