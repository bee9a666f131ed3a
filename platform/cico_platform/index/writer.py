"""Filling an index: a new collection beside the live one, its count verified, then the alias moves."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Self

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, previous_of
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import (
    DEFAULT_ALIAS,
    ServingInfo,
    known_collections,
    remove_collection,
    write_serving,
)
from cico_platform.index.set_encoding import point_vector, query_vector
from cico_platform.index.texts import with_text_key

BATCH = 128
# That are written at once where an index likes to write much.
MOST_CLIPS = 1024


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
        self._ids: set[str] = set()
        self._example: IndexedClip | None = None
        self._waiting: list[IndexedClip] = []
        # First of all, so that what a cut build leaves behind is known.
        write_serving(index, replace(info, alias=alias, content="", probes=()))
        index.create(info.collection, info.dim, info.quantization)

    def present(self) -> dict[str, str]:
        """The clips that the collection holds already, each with the `clip_key` of its payload, or ""."""
        self.flush()
        held = self.index.fetch(self.info.collection, fields=("clip_key",))
        return {hit.video_id: str(hit.payload.get("clip_key", "")) for hit in held}

    def keep(self, video_ids: Sequence[str]) -> None:
        """Count clips of an earlier try as this one's: whatever is neither kept nor added is deleted."""
        self._ids.update(video_ids)

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
        self._ids.update(clip.video_id for clip in clips)
        self._example = clips[0] if clips else self._example
        if enough(self.index, self._waiting):
            self.flush()

    def flush(self) -> None:
        """Write the clips that wait."""
        while self._waiting:
            self.index.upsert(self.info.collection, self._waiting[:MOST_CLIPS])
            del self._waiting[:MOST_CLIPS]

    def verify(self) -> int:
        """Drop what was neither kept nor added; returns how many clips the collection holds.

        Raises
        ------
        CicoError
            If the collection doesn't hold exactly the clips that were added, or doesn't find one of them.
        """
        collection = self.info.collection
        self.flush()
        stale = set(self.present()) - self._ids
        if stale:
            self.index.delete(collection, sorted(stale))
        count = self.index.count(collection)
        if not count or count != len(self._ids):
            raise CicoError(
                f"collection '{collection}' holds {count} clips, not {len(self._ids)}; index again"
            )
        if self._example is not None:
            hits = self.index.query(collection, self._example.tokens, limit=1)
            own = float(query_vector(self._example.tokens) @ point_vector(self._example.tokens))
            if not hits or hits[0].score < own - 1e-2:
                raise CicoError(
                    f"collection '{collection}' doesn't find '{self._example.video_id}'; index again"
                )
        return count

    def go_live(self, info: ServingInfo | None = None) -> Written:
        """Record what the collection holds, move the alias, and remove collections that nothing names."""
        write_serving(self.index, replace(info or self.info, alias=self.alias, clips=len(self._ids)))
        self.index.alias(self.alias, self.info.collection)
        tidy(self.index, self.alias)
        self.written = Written(self.info.collection, len(self._ids))
        return self.written

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
