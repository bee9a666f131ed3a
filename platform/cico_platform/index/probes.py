"""Probes: texts of a corpus whose clips a new collection must find as well as the one before it did."""

import hashlib
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cico_model.model import RetrievalModel
from cico_model.text_cleaning import clean_text
from cico_model.words import has_word
from cico_platform.encoding.texts import encode_texts
from cico_platform.index.base import VectorIndex
from cico_platform.index.ranking import Ranking

DEPTH = 10
BATCH = 32
MOST = 200


@dataclass(frozen=True)
class Probe:
    """A text, the clips that say it, and the ten that a collection found for it, best first."""

    text: str
    right: list[str]
    found: list[str]

    def hit(self) -> bool:
        """Whether one of the right clips is among those found."""
        return not set(self.right).isdisjoint(self.found)


@dataclass(frozen=True)
class Comparison:
    """How a new collection answers the probes of the one before.

    Attributes
    ----------
    probes
        How many of them have a right clip in both collections.
    recall_before, recall_now
        Share of these whose right clip is among the first ten.
    kept
        Of those that the old collection answered rightly, the share that the new one does too; None if none.
    overlap
        Mean share of the old's ten that are among the new's.
    """

    probes: int
    recall_before: float
    recall_now: float
    kept: float | None
    overlap: float


def choose_texts(clips: Iterable[tuple[str, str]], count: int) -> dict[str, list[str]]:
    """Some distinct texts, each with the clips that say it: always the same ones of the same clips.

    Parameters
    ----------
    clips
        Pairs of `video_id` and text.

    Examples
    --------
    >>> choose_texts([("a", "hello"), ("b", "hello"), ("c", "?")], 5)
    {'hello': ['a', 'b']}
    """
    most = min(count, MOST)
    texts: dict[str, list[str]] = {}
    order: list[tuple[bytes, str]] = []  # of these texts: a collection has too many to keep all
    for video_id, text in clips:
        said = clean_text(text)
        if said in texts:
            texts[said].append(video_id)
        elif most and has_word(said):
            place = (hashlib.sha256(said.encode()).digest(), said)
            if len(order) == most and place > order[-1]:
                continue
            insort(order, place)
            texts[said] = [video_id]
            if len(order) > most:
                del texts[order.pop()[1]]
    return {text: sorted(texts[text]) for _, text in order}


def ask(
    index: VectorIndex, collection: str, model: RetrievalModel, texts: Mapping[str, Sequence[str]]
) -> list[Probe]:
    """What a collection finds for texts (each with the clips that say it), with its own model."""
    ranking, names, probes = Ranking(index, collection, model.config), list(texts), []
    for first in range(0, len(names), BATCH):
        batch = names[first : first + BATCH]
        for text, query in zip(batch, encode_texts(model, batch), strict=True):
            found = [ranked.hit.video_id for ranked in ranking.by_text(query, DEPTH)]
            probes.append(Probe(text, list(texts[text]), found))
    return probes


def compare(before: Sequence[Probe], now: Sequence[Probe]) -> Comparison:
    """Two collections' answers to the same texts; a text whose clips have all gone does not count.

    Examples
    --------
    >>> compare([Probe("t", ["a"], ["a", "b"])], [Probe("t", ["a"], ["b", "a"])]).kept
    1.0
    """
    pairs = [(b, n) for b, n in zip(before, now, strict=True) if set(b.right) & set(n.right)]
    count = max(1, len(pairs))
    hits = [n.hit() for b, n in pairs if b.hit()]
    shared = sum(len(set(b.found) & set(n.found)) / max(1, len(b.found)) for b, n in pairs)
    return Comparison(
        len(pairs),
        round(sum(b.hit() for b, _ in pairs) / count, 4),
        round(sum(n.hit() for _, n in pairs) / count, 4),
        round(sum(hits) / len(hits), 4) if hits else None,
        round(shared / count, 4),
    )


def from_records(records: Iterable[Mapping[str, Any]]) -> list[Probe]:
    """Probes as they are kept in `ServingInfo.probes`."""
    return [Probe(str(r["text"]), list(r["right"]), list(r["found"])) for r in records]
