"""Filling an index: a new collection beside the live one, its count verified, then the alias moves."""

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Self

from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import IndexedClip, pool
from cico_platform.index.serving_info import DEFAULT_ALIAS, ServingInfo, write_serving

BATCH = 128


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
    >>> import numpy as np
    >>> from cico_platform.index.server import ServerIndex
    >>> index = ServerIndex(":memory:")
    >>> with IndexWriter(index, ServingInfo("clips-1", 4, "model", ("encoder",), 1.0, "demo")) as writer:
    ...     writer.add([IndexedClip("a", np.eye(4, dtype="float32"), {"text": "hello", "path": "/a.mp4"})])
    >>> index.alias("clips"), writer.written.clips
    ('clips-1', 1)
    """

    def __init__(self, index: VectorIndex, info: ServingInfo, alias: str = DEFAULT_ALIAS) -> None:
        self.index, self.info, self.alias = index, info, alias
        self.written = Written(info.collection, 0)
        self._ids: set[str] = set()
        self._example: IndexedClip | None = None
        index.create(info.collection, info.dim)

    def present(self) -> set[str]:
        """The ids that an earlier try has already written."""
        return {hit.video_id for hit in self.index.fetch(self.info.collection)}

    def keep(self, video_ids: Sequence[str]) -> None:
        """Count clips of an earlier try as this one's: whatever is neither kept nor added is deleted."""
        self._ids.update(video_ids)

    def add(self, clips: Sequence[IndexedClip]) -> None:
        """Write clips; each needs `text` and an absolute `path` in its payload.

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
        named = [replace(clip, payload={"corpus": self.info.corpus, **clip.payload}) for clip in clips]
        for first in range(0, len(named), BATCH):
            self.index.upsert(self.info.collection, named[first : first + BATCH])
        self._ids.update(clip.video_id for clip in clips)
        self._example = clips[0] if clips else self._example

    def finish(self) -> Written:
        """Verify, record the models, make the collection live.

        Raises
        ------
        CicoError
            If the collection doesn't hold exactly the clips that were added, or doesn't find one of them.
        """
        collection = self.info.collection
        stale = self.present() - self._ids
        if stale:
            self.index.delete(collection, sorted(stale))
        count = self.index.count(collection)
        if not count or count != len(self._ids):
            raise CicoError(
                f"collection '{collection}' holds {count} clips, not {len(self._ids)}; index again"
            )
        if self._example is not None:
            hits = self.index.query(collection, pool(self._example.tokens), limit=1)
            if not hits or hits[0].score < 0.999:
                raise CicoError(
                    f"collection '{collection}' doesn't find '{self._example.video_id}'; index again"
                )
        write_serving(self.index, self.info)
        self.index.alias(self.alias, collection)
        self.written = Written(collection, count)
        return self.written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
