"""The queries that went best and worst, with what was found instead of the right answer."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.metrics import best_of_groups, blocks
from cico_platform.training.pairs import Pairs

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Scores = NDArray[Any]
SHOWN = 10


def best_and_worst(scores: Scores, ranks: dict[str, Floats], pairs: Pairs) -> dict[str, Any]:
    """The ten best and the ten worst queries both ways; where there are few, no query is in both lists.

    Best is the lowest rank, then the largest margin: the score of the right answer less that of the best
    wrong one, which is what came `instead` (for a query of rank 1, what came second).

    Returns
    -------
    dict
        `{"best": {"t2v": [row], "v2t": [row]}, "worst": {...}}`; a row is `{"query", "answer", "instead"}`,
        each `{"video_id", "text"}` (a text-to-video query has no video), the latter two with `score`; and
        `rank`, `score`, `margin`. Texts are normalised, as they were scored.
    """
    owners = pairs.text_of_video
    ways = (("t2v", _judge_texts, _text_row), ("v2t", _judge_videos, _video_row))
    result: dict[str, Any] = {"best": {}, "worst": {}}
    for way, judge, row_of in ways:
        right, wrong, instead = judge(scores, owners)
        order = np.lexsort((wrong - right, ranks[way]))
        half = (len(order) + 1) // 2
        chosen = {"best": order[: min(SHOWN, half)], "worst": order[max(half, len(order) - SHOWN) :][::-1]}
        for which, queries in chosen.items():
            result[which][way] = [
                {
                    "rank": float(ranks[way][query]),
                    **_scored(
                        row_of(int(query), int(instead[query]), scores, owners, pairs),
                        float(right[query]),
                        float(wrong[query]),
                    ),
                }
                for query in queries
            ]
    return result


def _scored(row: dict[str, Any], right: float, wrong: float) -> dict[str, Any]:
    """A row with its scores; where there was no wrong answer, nothing came instead."""
    alone = not math.isfinite(wrong)
    return {
        **row,
        "answer": {**row["answer"], "score": round(right, 4)},
        "instead": None if alone else {**row["instead"], "score": round(wrong, 4)},
        "score": round(right, 4),
        "margin": None if alone else round(right - wrong, 4),
    }


def _judge_videos(scores: Scores, owners: Indices) -> tuple[Floats, Floats, Indices]:
    """Of each video: the score of its text, the best score of another, and which that is."""
    return _judge(scores, owners)


def _judge_texts(scores: Scores, owners: Indices) -> tuple[Floats, Floats, Indices]:
    """Of each text that owns a video: the score of its best video, the best of another's, that text."""
    present = np.unique(owners)
    parts = []
    for rows in blocks(len(present)):
        best = best_of_groups(scores[:, present[rows]].T, owners)
        parts.append(_judge(best, np.arange(rows.start, rows.stop)))
    right, wrong, instead = (np.concatenate(part) for part in zip(*parts, strict=True))
    return right, wrong, instead


def _judge(scores: Scores, right: Indices) -> tuple[Floats, Floats, Indices]:
    parts = []
    for rows in blocks(len(scores)):
        block = scores[rows].astype(np.float64)
        here = np.arange(len(block))
        own = block[here, right[rows]].copy()
        block[here, right[rows]] = -np.inf
        instead = block.argmax(axis=1)
        wrong = block[here, instead]
        parts.append((own, wrong, instead))
    own, wrong, instead = (np.concatenate(part) for part in zip(*parts, strict=True))
    return own, wrong, instead


def _text_row(query: int, instead: int, scores: Scores, owners: Indices, pairs: Pairs) -> dict[str, Any]:
    present = np.unique(owners)
    text = int(present[query])

    def best_video(owner: int) -> dict[str, Any]:
        videos = np.flatnonzero(owners == owner)
        video = int(videos[scores[videos, text].argmax()])
        return {"video_id": pairs.video_ids[video], "text": pairs.texts[owner]}

    return {
        "query": {"video_id": None, "text": pairs.texts[text]},
        "answer": best_video(text),
        "instead": best_video(int(present[instead])),
    }


def _video_row(query: int, instead: int, scores: Scores, owners: Indices, pairs: Pairs) -> dict[str, Any]:
    said = np.flatnonzero(owners == instead)
    shown = pairs.video_ids[int(said[scores[said, instead].argmax()])] if len(said) else None
    text = pairs.texts[int(pairs.text_of_video[query])]
    return {
        "query": {"video_id": pairs.video_ids[query], "text": text},
        "answer": {"video_id": pairs.video_ids[query], "text": text},
        "instead": {"video_id": shown, "text": pairs.texts[int(instead)]},
    }
