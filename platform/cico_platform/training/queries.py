"""The queries that went best and worst, with what was found instead of the right answer."""

from collections.abc import Callable
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
    owners = np.asarray(pairs.owners)
    judged = {"t2v": _judge_texts(scores, owners), "v2t": _judge_videos(scores, owners)}
    result: dict[str, Any] = {"best": {}, "worst": {}}
    for way, row_of in (("t2v", _text_row), ("v2t", _video_row)):
        right, wrong, instead = judged[way]
        order = np.lexsort((wrong - right, ranks[way]))
        best, worst = order[:SHOWN], order[::-1][:SHOWN]
        if len(order) < 2 * SHOWN:
            best, worst = order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :][::-1]

        def describe(query: int, way: str = way, row_of: RowOf = row_of) -> dict[str, Any]:
            right, wrong, instead = (values[query] for values in judged[way])
            row = row_of(query, int(instead), scores, owners, pairs)
            row["answer"]["score"] = row["score"] = round(float(right), 4)
            row["instead"] = None if instead < 0 else {**row["instead"], "score": round(float(wrong), 4)}
            row["margin"] = None if instead < 0 else round(float(right - wrong), 4)
            return {"rank": float(ranks[way][query]), **row}

        result["best"][way] = [describe(int(query)) for query in best]
        result["worst"][way] = [describe(int(query)) for query in worst]
    return result


RowOf = Callable[[int, int, Scores, Indices, Pairs], dict[str, Any]]


def _judge_videos(scores: Scores, owners: Indices) -> tuple[Floats, Floats, Indices]:
    """Of each video: the score of its text, the best score of another, and which that is (-1: none)."""
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
        parts.append((own, wrong, np.where(np.isfinite(wrong), instead, -1)))
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
    text = pairs.texts[pairs.owners[query]]
    return {
        "query": {"video_id": pairs.video_ids[query], "text": text},
        "answer": {"video_id": pairs.video_ids[query], "text": text},
        "instead": {"video_id": shown, "text": pairs.texts[instead]},
    }
