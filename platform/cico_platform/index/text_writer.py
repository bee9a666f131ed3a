"""Filling the collection of a collection's texts, part by part, from what its clips' payloads say.

What is there and right stays, so that a run that was cut goes on, and one after few changes writes few texts.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cico_platform.encoding.texts import TextQuery
from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import ClipFilters, IndexedClip
from cico_platform.index.texts import (
    KEYS,
    SaidText,
    all_parts,
    batches,
    query_of,
    read_said,
    text_point,
    texts_of,
)
from cico_platform.index.writer import enough

Encode = Callable[[Sequence[str]], list[TextQuery]]
# Clips whose texts are worked on at once, roughly; texts that are encoded together, and written together.
CLIPS_AT_ONCE, TEXTS_AT_ONCE, BATCH = 4096, 4096, 64


class TextCounts(NamedTuple):
    """How many texts a collection has, and what was done to them.

    Attributes
    ----------
    encoded, changed
        Those that were not there before, and those written anew with the tokens that they had.
    deleted, refused
        Those that no clip says any more, and those that can't be encoded.
    """

    texts: int = 0
    encoded: int = 0
    changed: int = 0
    deleted: int = 0
    refused: int = 0

    def plus(self, other: "TextCounts") -> "TextCounts":
        """The sums."""
        return TextCounts(*(a + b for a, b in zip(self, other, strict=True)))


def groups_of_parts(clips: int) -> list[list[str]]:
    """Parts of a collection of so many clips that are worked on together; no list is all of it at once.

    >>> groups_of_parts(100), len(groups_of_parts(10**6)), len(groups_of_parts(10**6)[0])
    ([[]], 256, 4)
    """
    if clips <= CLIPS_AT_ONCE:
        return [[]]
    parts = all_parts()
    step = KEYS
    while step > 1 and clips * step > CLIPS_AT_ONCE * len(parts):
        step //= 2
    return [parts[first : first + step] for first in range(0, len(parts), step)]


def update_texts(
    index: VectorIndex, collection: str, encode: Encode, parts: Sequence[str] = ()
) -> TextCounts:
    """Make the texts of some parts what the collection's clips say; without parts, all.

    Only texts that are not there yet are encoded.

    Parameters
    ----------
    encode
        Texts, up to some thousands, to queries; a `ValueError` says that one of them can't be encoded.
    """
    texts, only = texts_of(collection), ClipFilters(text_part=list(parts)) if parts else None
    said = read_said(index, collection, only)
    held = {
        hit.video_id: hit.payload.get("said_key")
        for hit in index.fetch(texts, filters=only, fields=("said_key",))
    }
    gone = sorted(held.keys() - said.keys())
    for keys in batches(gone):
        index.delete(texts, keys)
    changed = [key for key in said if key in held and held[key] != said[key].payload()["said_key"]]
    write_points(index, texts, _changed(index, texts, said, changed))
    missing = sorted(said.keys() - held.keys(), key=lambda key: (len(said[key].text), key))
    refused: list[str] = []
    encoded = write_points(index, texts, _encoded(said, missing, encode, refused))
    return TextCounts(len(said) - len(refused), encoded, len(changed), len(gone), len(refused))


def build_graph(index: VectorIndex, collection: str) -> None:
    """Let the engine build what it searches the texts by."""
    # An engine does so for what an alias is given to; this one goes with the collection.
    index.alias(texts_of(collection) + ".whole", texts_of(collection), keep=False)


def check_texts(index: VectorIndex, collection: str, wanted: int) -> None:
    """Check that a collection has so many texts.

    Raises
    ------
    CicoError
        If it has not.
    """
    count = index.count(texts_of(collection))
    if count != wanted:
        raise CicoError(f"'{texts_of(collection)}' holds {count} texts, not {wanted}; index again")


def write_points(index: VectorIndex, texts: str, points: Iterator[IndexedClip]) -> int:
    """Write points as they come, in batches that the index likes; returns how many."""
    waiting: list[IndexedClip] = []
    count = 0
    for point in points:
        waiting.append(point)
        count += 1
        if len(waiting) >= BATCH and enough(index, waiting):
            index.upsert(texts, waiting)
            waiting = []
    if waiting:
        index.upsert(texts, waiting)
    return count


def _changed(
    index: VectorIndex, texts: str, said: dict[str, SaidText], changed: Sequence[str]
) -> Iterator[IndexedClip]:
    """Texts whose clips have changed, with the tokens that they have."""
    for keys in batches(changed):
        for hit in index.fetch(texts, keys, tokens=True):
            yield text_point(hit.video_id, said[hit.video_id], query_of(hit))


def _encoded(
    said: dict[str, SaidText], missing: Sequence[str], encode: Encode, refused: list[str]
) -> Iterator[IndexedClip]:
    for first in range(0, len(missing), TEXTS_AT_ONCE):
        keys = missing[first : first + TEXTS_AT_ONCE]
        for key, query in _encode(said, keys, encode, refused):
            yield text_point(key, said[key], query)


def _encode(
    said: dict[str, SaidText], keys: Sequence[str], encode: Encode, refused: list[str]
) -> list[tuple[str, TextQuery]]:
    """Each with its query; if some can't be encoded, halves of them are, and what can't be is named."""
    try:
        return list(zip(keys, encode([said[key].text for key in keys]), strict=True))
    except ValueError as error:
        if len(keys) > 1:
            half = len(keys) // 2
            return [p for some in (keys[:half], keys[half:]) for p in _encode(said, some, encode, refused)]
        refused.extend(keys)
        logging.getLogger(__name__).warning(
            "no video can be answered with the text '%s': %s", said[keys[0]].text, error
        )
        return []
