"""The score of one text with many videos that lie behind each other, without padding: what a search needs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cico_model.similarity import LEAST_TEMPERATURE, TEMPERATURE

Float = NDArray[np.float32]
# Rows that are made single precision at once.
BLOCK = 4096


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
    products = unit_products(video_tokens, text_tokens)
    return product_scores(products, lengths, weight=weight, temperature=temperature)


def unit_products(rows: NDArray[np.floating], text_tokens: NDArray[np.floating]) -> Float:
    """Dot products of a text's tokens [L, D] with rows [N, D], all of them made of length 1.

    Parameters
    ----------
    rows
        Of any length, in half precision or more.

    Returns
    -------
    NDArray
        float32 [L, N]. Beside it, `BLOCK` rows in single precision are in memory.
    """
    # By torch, all of it: NumPy's threads beside torch's would wait for each other's cores.
    text = torch.from_numpy(unit_rows(text_tokens))
    held = torch.from_numpy(np.require(rows, requirements=["C", "W"]))  # a copy of what can't be written to
    # Matrix multiplication wants columns by the eight.
    columns = functional.pad(text, (0, 0, 0, -len(text) % 8)).T.contiguous()
    products = torch.empty(len(held), len(text))
    for first in range(0, len(held), BLOCK):
        part = slice(first, first + BLOCK)
        block = held[part].float()
        lengths = torch.linalg.vector_norm(block, dim=1, keepdim=True).clamp_min_(1e-12)
        products[part] = (block @ columns)[:, : len(text)] / lengths
    whole: Float = products.T.contiguous().numpy()
    return whole


def product_scores(
    products: Float, lengths: NDArray[np.integer], *, weight: float = 0.5, temperature: float = TEMPERATURE
) -> Float:
    """`ragged_scores` from the `unit_products` [L, N] of a text with videos of these lengths."""
    firsts = np.cumsum(lengths) - lengths
    # A product is at most 1: subtracting that keeps the exponentials from overflowing.
    weights = torch.from_numpy(products).sub(1).mul_(1 / temperature).exp_().numpy()
    weighted = weights * products
    to_text = np.add.reduceat(weighted.sum(axis=0) / weights.sum(axis=0), firsts) / lengths
    to_video = np.add.reduceat(weighted, firsts, axis=1) / np.add.reduceat(weights, firsts, axis=1)
    return np.asarray(weight * to_text + (1 - weight) * to_video.mean(axis=0), dtype=np.float32)


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
