"""Which sign answers which word, and when: the weights of the text-to-video softmax, read as an alignment."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_model.config import WINDOW_FRAMES
from cico_model.similarity import TEMPERATURE, check_pair, unit_tokens


class WordSpan(NamedTuple):
    """When a word is signed, in seconds, and how much of the word's attention lies there (0 to 1)."""

    word: str
    start: float
    end: float
    weight: float


@torch.no_grad()
def align(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    *,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Word-by-window weights of pairs: how much each text token attends to each video token.

    Parameters
    ----------
    video_tokens, video_valid
        Float [B, N, D] and bool [B, N], or one video's [N, D] and [N]; N is 1 + T with the class token.
    text_tokens, text_valid
        Float [B, L, D] and bool [B, L], or one text's; the i-th text goes with the i-th video.
    temperature
        Of the softmax.

    Returns
    -------
    Tensor
        float32 [B, L, N] (or [L, N]), at the positions of the tokens that came in. A valid text token's row
        sums to 1 over the valid video tokens; all else, the class token's column included, is 0.

    Raises
    ------
    ValueError
        If there are not as many texts as videos, or as `similarity` does.

    Examples
    --------
    >>> tokens, valid = torch.eye(3), torch.ones(3, dtype=torch.bool)
    >>> align(tokens, tokens, valid, valid).argmax(dim=1)
    tensor([0, 1, 2])
    """
    if video_tokens.ndim == 2 and text_tokens.ndim == 2:
        batch = (t.unsqueeze(0) for t in (video_tokens, text_tokens, video_valid, text_valid))
        return align(*batch, temperature=temperature)[0]
    check_pair(video_tokens, text_tokens, video_valid, text_valid)
    if len(video_tokens) != len(text_tokens):
        raise ValueError(f"not pairs: {len(video_tokens)} videos and {len(text_tokens)} texts")
    with torch.autocast(video_tokens.device.type, enabled=False):
        video = unit_tokens(video_tokens, video_valid)
        text = unit_tokens(text_tokens, text_valid)
        logits = torch.bmm(text, video.to(text.dtype).transpose(1, 2)) / temperature
        logits.masked_fill_(~video_valid.bool()[:, None, :], -torch.inf)
        return logits.softmax(dim=-1).mul_(text_valid.bool()[:, :, None])


def attention(products: NDArray[np.float32], temperature: float = TEMPERATURE) -> NDArray[np.float32]:
    """`align` of one text with one video, from the dot products [L, T] of their tokens, of length 1.

    Examples
    --------
    >>> attention(np.array([[1.0, 1.0]], np.float32)).tolist()
    [[0.5, 0.5]]
    """
    weights = np.exp((products - products.max(axis=1, keepdims=True)) * np.float32(1 / temperature))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


class WordMap(NamedTuple):
    """Both ways between the W words of a text and the T windows of a video.

    `text_to_video` is float32 [W, T]: how a word's attention is spread over the windows; a row sums to 1.
    `video_to_text` is float32 [T, W]: how a window's is spread over the words; what a row lacks to 1 lies on
    the text's start, end and punctuation.
    """

    words: list[str]
    text_to_video: NDArray[np.float32]
    video_to_text: NDArray[np.float32]


def word_map(
    video_tokens: NDArray[np.floating],
    text_tokens: NDArray[np.floating],
    words: Iterable[tuple[str, Sequence[int]]],
    *,
    temperature: float = TEMPERATURE,
) -> WordMap:
    """Which window answers which word, and the other way round.

    Parameters
    ----------
    video_tokens, text_tokens
        Float [T, D] and [L, D], all of them valid, without the class token.
    words
        Words and the positions of their tokens; words without tokens are left out.

    Examples
    --------
    >>> found = word_map(np.eye(2), np.eye(2), [("cat", [1])])
    >>> found.words, found.text_to_video.round(2).tolist(), found.video_to_text.round(2).tolist()
    (['cat'], [[0.0, 1.0]], [[0.0], [1.0]])
    """
    video, text = (torch.from_numpy(np.array(t, dtype=np.float32)) for t in (video_tokens, text_tokens))
    masks = torch.ones(len(video), dtype=torch.bool), torch.ones(len(text), dtype=torch.bool)
    to_video = align(video, text, *masks, temperature=temperature).numpy()
    to_text = align(text, video, *reversed(masks), temperature=temperature).numpy()
    known = [(word, list(positions)) for word, positions in words if positions]
    rows = [to_video[positions].mean(axis=0) for _, positions in known]
    columns = [to_text[:, positions].sum(axis=1) for _, positions in known]
    there = np.stack(rows) if rows else np.zeros((0, len(video)), np.float32)
    back = np.stack(columns, axis=1) if columns else np.zeros((len(video), 0), np.float32)
    return WordMap([word for word, _ in known], there, back)


def window_times(starts: Sequence[int], fps: float, offset: float = 0.0) -> list[tuple[float, float]]:
    """Start and end, in seconds, of windows that start at these frames.

    Examples
    --------
    >>> window_times([0, 8], fps=16.0)
    [(0.0, 1.0), (0.5, 1.5)]
    """
    if not fps > 0:
        raise ValueError(f"the frame rate must be above 0, not {fps}")
    return [(offset + s / fps, offset + (s + WINDOW_FRAMES) / fps) for s in starts]


def word_spans(
    weights: Tensor | NDArray[np.floating],
    words: Iterable[tuple[str, Sequence[int]]],
    window_times: Sequence[tuple[float, float]],
) -> list[WordSpan]:
    """When each word of a text is signed in a video.

    A word's weights are the mean of its tokens'. Its span is the run of windows around the heaviest one whose
    weight is at least half of that peak. A sign is taken to be in the middle of its window: the span goes
    from the first window's middle to the last one's, and a quarter of a window further on either side.

    Parameters
    ----------
    weights
        Float [L, 1 + T or more] from `align`, columns after the T windows being padding; or [L, T] without
        the class token's column.
    words
        Words and the positions of their tokens, from a tokenizer; start, end and punctuation are in no word.
    window_times
        Start and end of the T windows in seconds, in order.

    Returns
    -------
    list[WordSpan]
        One a word, in the order of the text; words whose tokens were all dropped by truncation are left out.

    Examples
    --------
    >>> spans = word_spans(np.array([[0, 0, 0], [0, 0.9, 0.1]]), [("cat", [1])], [(0.0, 1.0), (1.0, 2.0)])
    >>> [(span.word, span.start, span.end) for span in spans]
    [('cat', 0.25, 0.75)]
    """
    table = weights.detach().cpu().float().numpy() if isinstance(weights, Tensor) else np.asarray(weights)
    count = len(window_times)
    if table.ndim != 2 or table.shape[1] < count or not count:
        raise ValueError(f"weights [L, windows] of {count} windows are needed, not {table.shape}")
    table = table[:, 1 : 1 + count] if table.shape[1] > count else table
    spans = []
    for word, positions in words:
        if not positions:
            continue
        if max(positions) >= len(table):
            raise ValueError(f"word '{word}' has a token at {max(positions)}, weights end at {len(table)}")
        row = table[positions[0]] if len(positions) == 1 else table[list(positions)].mean(axis=0)
        first, last = peak_run(row)
        start, end = span_of(window_times[first], window_times[last])
        spans.append(WordSpan(word, start, end, float(row[first : last + 1].sum())))
    return spans


def peak_run(row: NDArray[np.floating]) -> tuple[int, int]:
    """First and last index of the run around a row's maximum that holds half of it or more.

    Examples
    --------
    >>> peak_run(np.array([0.5, 0.1, 0.3, 0.5, 0.2]))
    (0, 0)
    >>> peak_run(np.array([0.1, 0.3, 0.5, 0.2]))
    (1, 2)
    """
    first = last = int(row.argmax())
    enough = row[first] / 2
    while first > 0 and row[first - 1] >= enough:
        first -= 1
    while last + 1 < len(row) and row[last + 1] >= enough:
        last += 1
    return first, last


def span_of(first: tuple[float, float], last: tuple[float, float]) -> tuple[float, float]:
    """From the middle of the first window to that of the last, a quarter of a window wider on either side."""
    start = first[0] + (first[1] - first[0]) / 4
    return start, last[1] - (last[1] - last[0]) / 4
