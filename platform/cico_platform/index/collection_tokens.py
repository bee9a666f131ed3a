"""Tokens of a collection in a token store: a clip's row number is the id of its point."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.errors import CicoError, InputError
from cico_platform.index.clips import IndexedClip, Tokens
from cico_platform.index.token_store.cache import SegmentCache
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.codecs import SAMPLE
from cico_platform.index.token_store.compaction import SMALL_BYTES, TARGET_BYTES, compact, sweep
from cico_platform.index.token_store.errors import ConflictError, DeadRowsError
from cico_platform.index.token_store.files import listed, put, read_bytes, said_plainly
from cico_platform.index.token_store.gathering import TokenRows
from cico_platform.index.token_store.records import SEGMENTS, SegmentInfo, Storage
from cico_platform.index.token_store.row_numbers import Rows, as_rows, segment_number, split
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.writer import SegmentWriter
from cico_platform.storage import Place, is_remote, remove

# While clips are written, segments below this size are joined when there are so many of them.
TINY_BYTES, MOST_TINY = 8 << 20, 64
# A segment is written anew for its dead rows alone if more than this share of its clips is dead.
DEAD_SHARE = 0.2
REMOVED_FILE = "removed"
# In the folder of a store that the first write makes.
CREATED_FILE = "created"


class CollectionTokens:
    """Reads and writes the token store of one collection.

    Opening it reads nothing. Safe to use from several threads. Several processes may write, on this machine
    or on others that see the folder; what they have committed is seen by the next call.

    Parameters
    ----------
    folder
        Of the store: a folder, or a place behind a URL.
    dim
        Width of a token.
    storage
        How tokens are kept. With `product` the first write makes the store: it learns the centroids from its
        clips.
    cache
        Where copies of segments are kept if the store is behind a URL; by default as `TokenStore.open` says.
    """

    def __init__(
        self, folder: Place, dim: int, storage: Storage = "none", cache: SegmentCache | None = None
    ) -> None:
        self.folder, self.dim, self.storage, self._cache = folder, dim, storage, cache
        self._opening = threading.Lock()
        self._opened: TokenStore | None = None

    def create(self) -> None:
        """Make an empty store; one that exists stays.

        Raises
        ------
        CicoError
            If the folder cannot be written to.
        """
        if self.storage == "product":
            with said_plainly(self.folder, "tokens cannot be written to"):
                put(self.folder / CREATED_FILE, b"")
        else:
            self._create(None)

    def exists(self) -> bool:
        """Whether the folder is there; behind a URL, whether the store is."""
        if is_remote(self.folder):
            return bool(listed(self.folder))
        return Path(str(self.folder)).is_dir()

    def write(self, clips: Sequence[IndexedClip]) -> SegmentInfo:
        """Write clips' tokens [T, D] to a segment, which `commit` makes part of the store.

        The same clips, written again by a run that was cut before the commit, get the same row numbers.

        Raises
        ------
        InputError
            For tokens that a store cannot hold; nothing is written then.
        """
        store = self._newest()
        if store is None:
            self._create(_sample(clips))
            store = self._needed()
        digest = hashlib.sha256(str(store.generation).encode())
        for clip in clips:
            digest.update(np.ascontiguousarray(clip.tokens).tobytes())
        with SegmentWriter(self.folder, store.layout, digest.hexdigest()) as writer:
            for clip in clips:
                writer.add(clip.video_id, clip_key_of(clip), clip.tokens)
            return writer.finish()

    def commit(self, segment: SegmentInfo, replaced: Rows) -> None:
        """Make a segment part of the store; in the same step its rows take the place of others.

        Replaced rows that do not live are left out.
        """
        replaced = replaced[self._needed().lives(replaced)]
        add_segments(self.folder, [segment], dead=replaced)
        tiny = [one for one in self._needed().segments if one.bytes < TINY_BYTES]
        if len(tiny) >= MOST_TINY:
            self._compact(dead_share=1.0, small_bytes=TINY_BYTES, target_bytes=2 * TINY_BYTES)

    def mark_dead(self, rows: Rows) -> None:
        """Let rows die; those that do not live are left out."""
        store = self._newest()
        living = rows[store.lives(rows)] if store is not None else as_rows([])
        if len(living):
            mark_dead(self.folder, living)

    def join(self) -> None:
        """Join small segments, and erase dead rows where they are many."""
        self._compact(dead_share=DEAD_SHARE)

    def erase(self) -> None:
        """Erase all dead rows, and all that was written and never committed, from the files.

        No other process may write to the collection meanwhile.
        """
        if self._newest() is None:
            return
        compact(self.folder, cache=self._cache)
        self.sweep()
        self._newest()

    def sweep(self) -> None:
        """Remove what was written and never committed.

        No other process may write to the collection meanwhile.
        """
        if self._newest() is not None:
            sweep(self.folder)

    def announce_removal(self, collection: str) -> None:
        """Note in the folder that the collection is being removed, for the case that this is cut."""
        if self.exists():
            put(self.folder / REMOVED_FILE, collection.encode())

    def announced(self) -> str | None:
        """The collection whose removal was announced."""
        try:
            return read_bytes(self.folder / REMOVED_FILE).decode()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def close(self) -> None:
        """Close the files; what is read afterwards opens them again."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def remove(self) -> None:
        """Remove the folder; that there is none is no error.

        Raises
        ------
        CicoError
            If a file is left.
        """
        self.close()
        remove(self.folder)
        if self.exists():
            raise CicoError(f"'{self.folder}' cannot be removed: it holds tokens of a removed collection")

    def lives(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each row holds a living clip, bool [n]."""
        store = self._store()
        if store is None:
            return np.zeros(len(rows), np.bool_)
        living = store.lives(rows)
        # Rows that came after the generation in hand.
        return living if living.all() or not store.refresh() else store.lives(rows)

    def count(self) -> int:
        """How many clips live."""
        store = self._newest()
        return 0 if store is None else len(store)

    def size(self) -> int:
        """How many clips live in the generation in hand."""
        store = self._store()
        return 0 if store is None else len(store)

    def living(self) -> Rows:
        """The rows of all living clips."""
        store = self._newest()
        tables = [] if store is None else [table["row"].to_numpy() for table in store.clips()]
        return np.concatenate(tables) if tables else as_rows([])

    def names(self) -> Iterator[pa.Table]:
        """The living clips, segment by segment, as tables of `gathering.CLIPS_SCHEMA`."""
        store = self._newest()
        return iter(()) if store is None else store.clips()

    def lost(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each row is of a segment that is not in the folder, bool [n].

        Neither committed nor waiting for its commit: then the folder is an older copy, or the row died and
        was erased with all that was written together with it.
        """
        numbers = {segment_number(name) for name in listed(self.folder / SEGMENTS) if name.endswith(".json")}
        store = self._newest()
        for segment in () if store is None else store.segments:
            numbers.update(each.number for each in segment.ranges)
        return ~np.isin(split(rows)[0], np.array(sorted(numbers), np.uint64))

    def gather(self, rows: Rows) -> TokenRows:
        """Tokens of those of the rows that live, in their order."""
        store = self._store()
        if store is None:
            return TokenRows(as_rows([]), np.zeros((0, self.dim), np.float16), np.zeros(0, np.int32))
        found = store.tokens(rows, dead="drop")
        if len(found.rows) < len(rows) and store.refresh():
            found = store.tokens(rows, dead="drop")
        return found

    def read(self, row: int) -> Tokens:
        """A row's tokens float16 [T, D].

        Raises
        ------
        CicoError
            If no clip lives there any more.
        """
        self.lives(as_rows([row]))
        try:
            return self._needed().tokens(as_rows([row])).tokens
        except DeadRowsError as error:
            raise CicoError("a clip was deleted while it was being searched for") from error

    def _create(self, sample: Tokens | None) -> None:
        try:
            create_store(self.folder, self.dim, self.storage, sample)
        except InputError:
            # Another process has learned other centroids: its store is used.
            if sample is None or self._newest() is None:
                raise

    def _compact(
        self, *, dead_share: float, small_bytes: int = SMALL_BYTES, target_bytes: int = TARGET_BYTES
    ) -> None:
        if self._newest() is None:
            return
        try:
            compact(
                self.folder,
                dead_share=dead_share,
                small_bytes=small_bytes,
                target_bytes=target_bytes,
                cache=self._cache,
            )
        except ConflictError:  # another process does the same
            return

    def _store(self) -> TokenStore | None:
        """The store as it was when it was last looked at; None if no write has made it yet."""
        with self._opening:
            if self._opened is None:
                try:
                    self._opened = TokenStore.open(self.folder, self._cache)
                except InputError:
                    if self.storage != "product" or not self.exists():
                        raise
            return self._opened

    def _newest(self) -> TokenStore | None:
        store = self._store()
        if store is not None:
            store.refresh()
        return store

    def _needed(self) -> TokenStore:
        store = self._newest()
        if store is None:
            raise InputError(f"'{self.folder}' holds no token store")
        return store


def _sample(clips: Sequence[IndexedClip]) -> Tokens:
    """Tokens of clips that are evenly spaced, enough to learn centroids from."""
    tokens = sum(len(clip.tokens) for clip in clips)
    step = max(1, tokens // (2 * SAMPLE))
    return np.concatenate([np.asarray(clip.tokens, np.float32) for clip in clips[::step]])


def clip_key_of(clip: IndexedClip) -> str:
    """The key of a clip, which changes with what is known of it; empty where its payload has none."""
    return str(clip.payload.get("clip_key") or "")
