"""The texts of a collection: a second collection beside it, one point a distinct text that a clip says.

A text's point has the tokens that the retrieval model gives it, its words, and what its clips are filtered
by. Its `video_id` is the key that each of its clips has as `text_key`.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cico_model.text_cleaning import clean_text
from cico_model.words import has_word
from cico_platform.encoding.texts import TextQuery
from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import (
    FILTER_FIELDS,
    TEXT_KEY,
    TEXT_PART,
    ClipFilters,
    Filters,
    Hit,
    IndexedClip,
    Payload,
    Tokens,
)
from cico_platform.steps import content_key

TEXTS = ".texts"
# A collection's texts are found part by part: one part of 10^8 clips is some 10^5 of them.
PARTS = 1024
# Keys of one filter; a server in strict mode takes no more than it likes.
KEYS = 64
FACETS = tuple(name for name in FILTER_FIELDS if name not in (TEXT_KEY, TEXT_PART))
# A text whose clips have more values of a field than these passes any filter of the field.
MOST_VALUES, ANY = 64, "*"
# Durations in classes, each as much longer than the one before: texts have at most some dozens.
SHORTEST, RATIO = 0.1, 1.25


def texts_of(collection: str) -> str:
    """The name of the collection of a collection's texts.

    >>> texts_of("clips-1")
    'clips-1.texts'
    """
    return collection + TEXTS


def text_key(text: str) -> str | None:
    """What names a text, however it was written; None where it says nothing that can be searched for.

    >>> text_key("The Boy&amp;nbsp;reads") == text_key("the boy reads"), text_key("?!")
    (True, None)
    """
    said = clean_text(text)
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest() if has_word(said) else None


def text_part(key: str) -> str:
    """The part of a collection's texts that a key belongs to.

    >>> text_part("0007ffff"), len(all_parts())
    ('007', 1024)
    """
    return f"{int(key[:4], 16) % PARTS:03x}"


def all_parts() -> list[str]:
    """The names of all parts."""
    return [f"{number:03x}" for number in range(PARTS)]


def with_text_key(payload: Mapping[str, Any]) -> Payload:
    """A clip's payload with what its text is found by; a key that is there is not computed again."""
    key = payload.get(TEXT_KEY) or text_key(str(payload.get("text") or ""))
    return dict(payload) if key is None else {**payload, TEXT_KEY: key, TEXT_PART: text_part(key)}


def duration_class(seconds: float) -> float:
    """The shortest duration of the class that a duration belongs to, in seconds; longer ones never have less.

    >>> duration_class(2.0) <= duration_class(2.1) <= 2.1 < duration_class(3.0)
    True
    """
    steps = math.floor(math.log(max(seconds, SHORTEST) / SHORTEST, RATIO))
    return round(SHORTEST * RATIO**steps, 4)


def text_filters(filters: Filters | None) -> Filters | None:
    """Return filters on texts: they let each text through of which a clip passes, and some others."""
    if filters is None or filters.is_empty():
        return filters
    least, most = filters.min_duration, filters.max_duration
    widened: dict[str, Any] = {name: [*values, ANY] for name, values in filters.values().items()}
    widened["min_duration"] = None if least is None else duration_class(least)
    widened["max_duration"] = None if most is None else duration_class(most)
    # Without the check of how many values there are: there may be one more.
    return Filters.model_construct(**widened)


def clip_filters(filters: Filters | None, keys: Sequence[str]) -> ClipFilters:
    """The clips that say one of these texts (at most `KEYS`), of those that pass the filters."""
    return ClipFilters(**({} if filters is None else filters.model_dump()), text_key=list(keys))


@dataclass
class SaidText:
    """A text with what its clips are filtered by, gathered clip by clip; its size has a bound."""

    text: str
    values: dict[str, set[str]] = field(default_factory=dict)
    durations: set[float] = field(default_factory=set)

    def add(self, payload: Mapping[str, Any]) -> None:
        """Count in a clip that says it."""
        for name in FACETS:
            told = payload.get(name)
            if told is None:
                continue
            held = self.values.setdefault(name, set())
            if ANY not in held:
                held.update([told] if isinstance(told, str) else told)
            if len(held) > MOST_VALUES:
                self.values[name] = {ANY}
        if payload.get("duration") is not None:
            self.durations.add(duration_class(float(payload["duration"])))

    def payload(self) -> Payload:
        """What its point is filtered by, and `said_key`, which changes with it."""
        facets: Payload = {name: sorted(values) for name, values in self.values.items() if values}
        if self.durations:
            facets["duration"] = sorted(self.durations)
        return {**facets, "text": self.text, "said_key": content_key(text=self.text, **facets)}


def text_point(key: str, said: SaidText, query: TextQuery) -> IndexedClip:
    """The point of a text."""
    payload = {**said.payload(), TEXT_KEY: key, TEXT_PART: text_part(key)}
    return IndexedClip(key, query.tokens, {**payload, "words": [[word, p] for word, p in query.words]})


def query_of(hit: Hit) -> TextQuery:
    """A text as a query, from its point, whose tokens were asked for."""
    assert hit.tokens is not None
    words = [(str(word), [int(p) for p in positions]) for word, positions in hit.payload["words"]]
    return TextQuery(hit.tokens, words)


def read_said(index: VectorIndex, collection: str, only: ClipFilters | None) -> dict[str, SaidText]:
    """The texts of those of a collection's clips that pass, by key."""
    found: dict[str, SaidText] = {}
    for hit in index.fetch(collection, filters=only, fields=("text", "duration", TEXT_KEY, *FACETS)):
        key = hit.payload.get(TEXT_KEY)
        if key is None:
            continue
        if key not in found:
            found[key] = SaidText(clean_text(str(hit.payload["text"])))
        found[key].add(hit.payload)
    return found


def text_tokens(index: VectorIndex, collection: str, keys: Iterable[str]) -> dict[str, Tokens]:
    """Tokens [L, D] of those of these texts that a collection has, by key."""
    held = index.fetch(texts_of(collection), list(keys), fields=(), tokens=True)
    return {hit.video_id: hit.tokens for hit in held if hit.tokens is not None}


def open_whole(index: VectorIndex, collection: str) -> int:
    """Open a collection with its texts, so that no one removes them; returns how many clips it has.

    Raises
    ------
    CicoError
        If another process has it open.
    InputError
        If there is no such collection.
    """
    clips = index.count(collection)
    with suppress(InputError):  # of clips alone; a search by video says so
        index.count(texts_of(collection))
    return clips


def batches(keys: Sequence[str]) -> Iterator[list[str]]:
    """Keys in lists that one filter takes."""
    yield from (list(keys[first : first + KEYS]) for first in range(0, len(keys), KEYS))


def no_texts(index: VectorIndex, collection: str) -> CicoError:
    """The error where a collection has no texts."""
    return CicoError(
        f"'{collection}' of '{index.location}' has no texts to compare a video with; run 'cico index' again"
    )
