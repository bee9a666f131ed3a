"""Probes: texts of a corpus whose clips a new collection must find as well as the one before it did."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cico_model.model import RetrievalModel
from cico_platform.encoding.texts import encode_texts
from cico_platform.errors import InputError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import TEXT_KEY, TEXT_PART, ClipFilters, Hit
from cico_platform.index.ranking import Ranking
from cico_platform.index.texts import KEYS, all_parts, batches, clip_filters, texts_of

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


def choose_texts(index: VectorIndex, collection: str, count: int) -> dict[str, list[str]]:
    """Choose some texts of a collection, each with the clips that say it: always the same of the same texts.

    They are those of the first parts of its texts, ordered by their keys, which are hashes. No more texts
    are read than a few times as many as are chosen. None are chosen of a collection without texts.
    """
    wanted = min(count, MOST)
    found: list[Hit] = []
    with suppress(InputError):
        for parts in _groups(index.count(texts_of(collection)), wanted):
            only = ClipFilters(text_part=parts)
            hits = index.fetch(texts_of(collection), filters=only, fields=("text", TEXT_PART))
            found += sorted(hits, key=lambda hit: (str(hit.payload[TEXT_PART]), hit.video_id))
            if len(found) >= wanted:
                break
    text_of = {hit.video_id: str(hit.payload["text"]) for hit in found[:wanted]}
    said: dict[str, list[str]] = {text: [] for text in text_of.values()}
    for keys in batches(list(text_of)):
        for hit in index.fetch(collection, filters=clip_filters(None, keys), fields=(TEXT_KEY,)):
            said[text_of[str(hit.payload[TEXT_KEY])]].append(hit.video_id)
    return {text: sorted(clips) for text, clips in said.items() if clips}


def _groups(texts: int, wanted: int) -> Iterator[list[str]]:
    """Parts of a collection of so many texts, in order; each list has some of the texts wanted."""
    parts = all_parts()
    step = min(KEYS, max(1, wanted * len(parts) // max(1, texts)))
    for first in range(0, len(parts) if wanted and texts else 0, step):
        yield parts[first : first + step]


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
