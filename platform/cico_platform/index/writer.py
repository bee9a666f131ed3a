"""Filling an index: a new collection beside the live one, its count verified, then the alias moves."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Self

import pyarrow as pa

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, previous_of
from cico_platform.index.canaries import lost_canaries, spread
from cico_platform.index.clip_names import NAMES_SCHEMA, difference, joined, last_of_each
from cico_platform.index.clips import IndexedClip
from cico_platform.index.collection_tokens import clip_key_of
from cico_platform.index.serving_info import (
    DEFAULT_ALIAS,
    ServingInfo,
    known_collections,
    remove_collection,
    write_serving,
)
from cico_platform.index.texts import with_text_key
from cico_platform.index.token_store.gathering import CLIPS_SCHEMA

BATCH = 128
# That are written at once where an index likes to write much.
MOST_CLIPS = 1024
# That are deleted at once, and names that an error tells.
ROWS, NAMED = 8192, 3


class Written(NamedTuple):
    """The collection that is live now, and how many clips it holds."""

    collection: str
    clips: int


class IndexWriter:
    """Writes one collection of an index.

    Parameters
    ----------
    index
        Where to.
    info
        What the collection is built with. Its `collection` should be named after everything that decides its
        content (`<alias>-<content key>`): a name that is taken goes on where the last try stopped.
    alias
        The alias that moves to the collection in the end.

    Examples
    --------
    >>> info = ServingInfo("clips-1", 4, "model", ("encoder",), 1.0, "demo")
    >>> with open_index("demo/index") as index, IndexWriter(index, info) as writer:  # doctest: +SKIP
    ...     writer.add([IndexedClip("a", tokens, {"text": "hello", "path": "/a.mp4"})])
    """

    def __init__(self, index: VectorIndex, info: ServingInfo, alias: str = DEFAULT_ALIAS) -> None:
        self.index, self.info, self.alias = index, info, alias
        self.written = Written(info.collection, 0)
        # Of what the collection shall hold; Arrow columns take a third of what a set takes.
        self._names: list[pa.Table] = []
        self._waiting: list[IndexedClip] = []
        # First of all, so that what a cut build leaves behind is known.
        write_serving(index, replace(info, alias=alias, content="", probes=()))
        index.create(info.collection, info.dim, info.quantization)

    def present(self) -> pa.Table:
        """The clips that the collection holds already: a table of `NAMES_SCHEMA`."""
        self.flush()
        return joined(self.index.names(self.info.collection), NAMES_SCHEMA)

    def keep(self, names: pa.Table) -> None:
        """Count clips (`NAMES_SCHEMA`) that the collection holds already: all others are deleted in the end.

        They are of an earlier try, or were written by workers (`VectorIndex.stage`).
        """
        self._names.append(names.select(NAMES_SCHEMA.names).cast(NAMES_SCHEMA))

    def add(self, clips: Sequence[IndexedClip]) -> None:
        """Write clips; each needs `text` and an absolute `path` in its payload.

        An index that likes to write much at once gets them when enough are waiting (`flush`).

        Raises
        ------
        CicoError
            If a clip's tokens are of another width.
        """
        for clip in clips:
            if clip.tokens.ndim != 2 or clip.tokens.shape[1] != self.info.dim or not len(clip.tokens):
                raise CicoError(
                    f"clip '{clip.video_id}': tokens {clip.tokens.shape}, not [1 or more, {self.info.dim}]"
                )
        known = [with_text_key({"corpus": self.info.corpus, **clip.payload}) for clip in clips]
        self._waiting += [replace(clip, payload=one) for clip, one in zip(clips, known, strict=True)]
        columns = [[clip.video_id for clip in clips], [clip_key_of(clip) for clip in clips]]
        self.keep(pa.table([pa.array(column, pa.string()) for column in columns], schema=NAMES_SCHEMA))
        if enough(self.index, self._waiting):
            self.flush()

    def flush(self) -> None:
        """Write the clips that wait."""
        while self._waiting:
            self.index.upsert(self.info.collection, self._waiting[:MOST_CLIPS])
            del self._waiting[:MOST_CLIPS]

    def verify(self) -> int:
        """Delete what was neither kept nor added; returns how many clips the collection holds.

        Raises
        ------
        CicoError
            If the collection does not hold exactly the clips that were kept or added, each once, or does not
            find some of them by their own tokens.
        """
        self.flush()
        index, collection = self.index, self.info.collection
        index.settle(collection)
        wanted = self._wanted()
        surplus, missing = difference(joined(index.names(collection), CLIPS_SCHEMA), wanted)
        for first in range(0, len(surplus), ROWS):
            index.delete_rows(collection, surplus[first : first + ROWS])
        count = index.count(collection)
        if not count or len(missing) or count != len(wanted):
            some = ", ".join(f"'{name}'" for name in missing[:NAMED].to_pylist())
            lacks = f", without {some}{', …' if len(missing) > NAMED else ''}" if some else ""
            raise CicoError(
                f"collection '{collection}' holds {count} clips, not {len(wanted)}{lacks}; index again"
            )
        if lost := lost_canaries(index, collection, spread(wanted["video_id"])):
            raise CicoError(f"collection '{collection}' doesn't find '{lost[0]}'; index again")
        return count

    def go_live(self, info: ServingInfo | None = None) -> Written:
        """Record what the collection holds, move the alias, and remove collections that nothing names."""
        write_serving(self.index, replace(info or self.info, alias=self.alias, clips=len(self._wanted())))
        self.index.alias(self.alias, self.info.collection)
        tidy(self.index, self.alias)
        self.written = Written(self.info.collection, len(self._wanted()))
        return self.written

    def _wanted(self) -> pa.Table:
        self._names = [last_of_each(joined(self._names, NAMES_SCHEMA))]
        return self._names[0]

    def finish(self) -> Written:
        """Verify, record the models, make the collection live.

        Raises
        ------
        CicoError
            As `verify`.
        """
        self.verify()
        return self.go_live()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()


def enough(index: VectorIndex, clips: Sequence[IndexedClip]) -> bool:
    """Whether so many clips should be written at once."""
    size = sum(2 * clip.tokens.size for clip in clips)
    return len(clips) >= MOST_CLIPS or size >= index.write_bytes


def tidy(index: VectorIndex, alias: str) -> list[str]:
    """Remove the collections of an alias but the live one and the one before; returns those removed.

    One that a process still has open stays until the next time.
    """
    named = {index.alias(alias), index.alias(previous_of(alias))}
    removed = []
    for name, info in known_collections(index).items():
        if info.alias == alias and name not in named:
            with suppress(CicoError):
                remove_collection(index, name)
                removed.append(name)
    return removed


def roll_back(index: VectorIndex, alias: str = DEFAULT_ALIAS) -> str:
    """Make the collection that was live before live again; once more moves forward again.

    Raises
    ------
    InputError
        If no other collection was live before.
    """
    previous = index.alias(previous_of(alias))
    if previous is None:
        raise InputError(f"nothing was live as '{alias}' before in '{index.location}'")
    index.alias(alias, previous)
    return previous
