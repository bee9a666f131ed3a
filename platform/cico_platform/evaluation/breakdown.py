"""Where the metrics come from: ranks in steps, and R@1 by sentence length, signer and language."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.words import find_words
from cico_platform.corpus.manifest import Clip
from cico_platform.training.pairs import Pairs

Floats = NDArray[np.float64]
Ranks = dict[str, Floats]
UNKNOWN, SEVERAL = "unknown", "several"
LENGTH_GROUPS = 4
# Where the steps of the histogram end; the sums of the first ones are R@1, R@5 and R@10.
STEPS = tuple(first * 10**decade for decade in range(9) for first in (1, 2, 5))
NORMAL_95 = 1.959964


def rank_summary(ranks: Floats, candidates: int) -> dict[str, Any]:
    """How often a rank is within each step: `{"queries", "candidates", "steps": [{"from", "to", "count"}]}`.

    A rank between two steps, as ties make them, counts in the later one, as R@k counts it.
    """
    ends = [*(step for step in STEPS if step < candidates), candidates]
    firsts = [1, *(end + 1 for end in ends[:-1])]
    places = np.searchsorted(ends, ranks)
    counts = np.bincount(places, minlength=len(ends))
    steps = [
        {"from": first, "to": end, "count": int(count)}
        for first, end, count in zip(firsts, ends, counts, strict=True)
    ]
    return {"queries": len(ranks), "candidates": candidates, "steps": steps}


def breakdown(ranks: Ranks, pairs: Pairs, clips: Sequence[Clip]) -> dict[str, Any]:
    """R@1 both ways by sentence length, by signer and by (written) language.

    A text that is signed by several signers is a T2V query of the group "several"; what the corpus doesn't
    say is the group "unknown".

    Parameters
    ----------
    ranks
        From `retrieval_ranks`: one a text, one a video.
    clips
        The manifest's row of each video.

    Returns
    -------
    dict
        Each of `length`, `signer`, `language`: `{"groups": [{"name", "t2v": {"queries", "R@1", "interval"},
        "v2t": {...}}], "note"}`. A dimension with one group has no groups, and a note that says so.
    """
    lengths = [len(find_words(text)) for text in pairs.texts]
    names = length_groups(lengths)
    by_video = {
        "length": [names[owner] for owner in pairs.text_of_video.tolist()],
        "signer": [clip.signer or UNKNOWN for clip in clips],
        "language": [clip.language or UNKNOWN for clip in clips],
    }
    return {name: _dimension(name, ranks, pairs, values) for name, values in by_video.items()}


def length_groups(lengths: Sequence[int]) -> list[str]:
    """The group of each text: quarters of the split, where equal lengths don't make them fewer.

    >>> length_groups([2, 2, 3, 4, 9, 9, 12, 30])
    ['2', '2', '3-4', '3-4', '9', '9', '12-30', '12-30']
    """
    inner = np.quantile(lengths, np.linspace(0, 1, LENGTH_GROUPS + 1)[1:-1], method="lower")
    group = np.searchsorted(np.unique(inner), lengths, side="left")
    names = {}
    for number in np.unique(group):
        members = np.asarray(lengths)[group == number]
        low, high = int(members.min()), int(members.max())
        names[int(number)] = f"{low}" if low == high else f"{low}-{high}"
    return [names[int(number)] for number in group]


def wilson(hits: int, queries: int) -> list[float]:
    """95% interval of a share, in percent: Wilson's, which holds for few queries too (JASA 1927).

    >>> wilson(3, 3)
    [43.85, 100.0]
    """
    z2 = NORMAL_95**2
    share = hits / queries
    middle = (share + z2 / (2 * queries)) / (1 + z2 / queries)
    reach = NORMAL_95 * math.sqrt(share * (1 - share) / queries + z2 / (4 * queries**2)) / (1 + z2 / queries)
    return [round(100 * max(0.0, middle - reach), 2), round(100 * min(1.0, middle + reach), 2)]


def _dimension(name: str, ranks: Ranks, pairs: Pairs, by_video: Sequence[str]) -> dict[str, Any]:
    by_text: dict[int, str] = {}
    for owner, value in zip(pairs.text_of_video.tolist(), by_video, strict=True):
        by_text[owner] = value if by_text.get(owner, value) == value else SEVERAL
    values = {"t2v": [by_text[owner] for owner in sorted(by_text)], "v2t": list(by_video)}
    groups = sorted(set(values["t2v"]) | set(values["v2t"]), key=_place)
    if len(groups) == 1:
        return {"groups": [], "note": f"the {name} of every query is {groups[0]}"}
    return {"groups": [{"name": g, **{w: _group(ranks[w], values[w], g) for w in values}} for g in groups]}


def _group(ranks: Floats, values: Sequence[str], group: str) -> dict[str, Any]:
    chosen = ranks[np.asarray(values) == group]
    hits = int((chosen <= 1).sum())
    if not len(chosen):
        return {"queries": 0, "R@1": None, "interval": None}
    share = round(100 * hits / len(chosen), 2)
    return {"queries": len(chosen), "R@1": share, "interval": wilson(hits, len(chosen))}


def _place(group: str) -> tuple[bool, int, str]:
    """Numbers in their order, then names, what is not known last."""
    first = group.split("-")[0]
    return group in (UNKNOWN, SEVERAL), int(first) if first.isdigit() else 0, group
