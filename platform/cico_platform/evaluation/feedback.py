"""Users' judgements of results: precision and DCG of judged searches, from files that the service wrote."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cico_model.metrics import CUTS, DEPTH, discounted_gain
from cico_platform.index.feedback_files import feedback_files, read_lines
from cico_platform.schemas.feedback import Judgement

NOT_A_JUDGEMENT, REPLACED = "not a judgement", "judged again later"


def feedback_report(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Metrics of judged results, by what was searched with.

    Judgements of one search are those of one `search`, or without it those of one day and one sentence. Only
    what was judged counts: a search of which two results were judged has two.

    Returns
    -------
    dict
        `lines`, `used`, `unusable` (how many for which reason), `files`, and for `text`, `video` and `clip`
        where there are judgements: `searches`, `judged`, `right`; `P@1`, `P@5`, `P@10`, the share in percent
        of judged results among the first k that are right (None where none was judged); `DCG@10`, the mean
        over searches, and `NDCG@10`, divided by that of the same judgements in the best order, in percent
        (None where no search has a right result).

    Raises
    ------
    InputError
        If a path is no file and no folder with feedback.
    """
    files = feedback_files(paths)
    latest: dict[tuple[str, ...], Judgement] = {}
    unusable: Counter[str] = Counter()
    lines = 0
    for path in files:
        with path.open("rb") as file:
            for line in read_lines(file):
                lines += 1
                if line.judgement is None:
                    unusable[NOT_A_JUDGEMENT] += 1
                    continue
                key = (*_search(line.judgement), line.judgement.video_id)
                unusable[REPLACED] += key in latest
                latest[key] = line.judgement
    report: dict[str, Any] = {"files": len(files), "lines": lines, "used": len(latest)}
    report["unusable"] = {reason: count for reason, count in sorted(unusable.items()) if count}
    for kind in ("text", "video", "clip"):
        judged = [one for one in latest.values() if one.kind == kind]
        if judged:
            report[kind] = _metrics(judged)
    return report


def _search(judgement: Judgement) -> tuple[str, ...]:
    """Key of a search: judgements with the same key belong to one search."""
    named = judgement.search or f"{judgement.day} {judgement.query or judgement.video_id}"
    return judgement.kind, judgement.collection, named


def _metrics(judged: Sequence[Judgement]) -> dict[str, Any]:
    searches: dict[tuple[str, ...], list[Judgement]] = {}
    for one in judged:
        searches.setdefault(_search(one), []).append(one)
    found: dict[str, Any] = {
        "searches": len(searches),
        "judged": len(judged),
        "right": sum(one.verdict == "right" for one in judged),
    }
    for k in CUTS:
        found[f"P@{k}"] = _percent([one.verdict == "right" for one in judged if one.rank <= k])
    gains = [_gains(those) for those in searches.values()]
    found[f"DCG@{DEPTH}"] = _percent([gain for gain, _ in gains])
    found[f"NDCG@{DEPTH}"] = _percent([gain / best for gain, best in gains if best])
    return found


def _gains(judged: Sequence[Judgement]) -> tuple[float, float]:
    """DCG of one search, and that of its judgements in the best order of the same ranks."""
    ranks = np.array(sorted(one.rank for one in judged), np.float64)
    right = np.array([one.rank for one in judged if one.verdict == "right"], np.float64)
    return float(discounted_gain(right).sum()), float(discounted_gain(ranks[: len(right)]).sum())


def _percent(values: Iterable[float]) -> float | None:
    values = list(values)
    return round(100 * sum(values) / len(values), 2) if values else None
