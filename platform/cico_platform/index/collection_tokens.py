"""Tokens of a collection in a token store: a clip's row number is the id of its point."""

import hashlib
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import CicoError
from cico_platform.index.clips import IndexedClip, Tokens
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.compaction import SMALL_BYTES, TARGET_BYTES, compact, sweep
from cico_platform.index.token_store.errors import ConflictError, DeadRowsError
from cico_platform.index.token_store.files import listed
from cico_platform.index.token_store.gathering import TokenRows
from cico_platform.index.token_store.records import SEGMENTS, SegmentInfo
from cico_platform.index.token_store.row_numbers import Rows, as_rows, segment_number, split
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.writer import SegmentWriter

# While clips are written, segments below this size are joined when there are so many of them.
TINY_BYTES, MOST_TINY = 8 << 20, 64
# A segment is written anew for its dead rows alone if more than this share of its clips is dead.
DEAD_SHARE = 0.2
REMOVED_FILE = "removed"


class CollectionTokens:
    """Reads and writes the token store of one collection.

    Opening it reads nothing. Safe to use from several threads. Several processes may write, on this machine
    or on others that see the folder; what they have committed is seen by the next call.

    Parameters
    ----------
    folder
        Of the store.
    dim
        Width of a token.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self.folder, self.dim = folder, dim
        self._opening = threading.Lock()
        self._opened: TokenStore | None = None

    def create(self) -> None:
        """Make an empty store; one that exists stays.

        Raises
        ------
        CicoError
            If the folder cannot be written to.
        """
        try:
            create_store(self.folder, self.dim)
        except OSError as error:
            raise CicoError(
                f"tokens cannot be written to '{self.folder}': {error.strerror or error}; name a folder that "
                "every process that searches sees"
            ) from error

    def write(self, clips: Sequence[IndexedClip]) -> SegmentInfo:
        """Write clips' tokens [T, D] to a segment, which `commit` makes part of the store.

        The same clips, written again by a run that was cut before the commit, get the same row numbers.

        Raises
        ------
        InputError
            For tokens that a store cannot hold; nothing is written then.
        """
        store = self._newest()
        digest = hashlib.sha256(str(store.generation).encode())
        for clip in clips:
            digest.update(np.ascontiguousarray(clip.tokens).tobytes())
        with SegmentWriter(self.folder, store.layout, digest.hexdigest()) as writer:
            for clip in clips:
                writer.add(clip.video_id, str(clip.payload.get("clip_key") or ""), clip.tokens)
            return writer.finish()

    def commit(self, segment: SegmentInfo, replaced: Rows) -> None:
        """Make a segment part of the store; in the same step its rows take the place of others.

        Replaced rows that do not live are left out.
        """
        replaced = replaced[self._newest().lives(replaced)]
        add_segments(self.folder, [segment], dead=replaced)
        tiny = [one for one in self._newest().segments if one.bytes < TINY_BYTES]
        if len(tiny) >= MOST_TINY:
            self._compact(dead_share=1.0, small_bytes=TINY_BYTES, target_bytes=2 * TINY_BYTES)

    def mark_dead(self, rows: Rows) -> None:
        """Let rows die; those that do not live are left out."""
        living = rows[self._newest().lives(rows)]
        if len(living):
            mark_dead(self.folder, living)

    def join(self) -> None:
        """Join small segments, and erase dead rows where they are many."""
        self._compact(dead_share=DEAD_SHARE)

    def erase(self) -> None:
        """Erase all dead rows, and all that was written and never committed, from the files.

        No other process may write to the collection meanwhile.
        """
        compact(self.folder)
        sweep(self.folder)
        self._newest()

    def announce_removal(self, collection: str) -> None:
        """Note in the folder that the collection is being removed, for the case that this is cut."""
        if self.folder.is_dir():
            (self.folder / REMOVED_FILE).write_text(collection)

    def announced(self) -> str | None:
        """The collection whose removal was announced."""
        file = self.folder / REMOVED_FILE
        return file.read_text() if file.is_file() else None

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
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            raise CicoError(f"'{self.folder}' cannot be removed: it holds tokens of a removed collection")

    def lives(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each row holds a living clip, bool [n]."""
        store = self._store()
        living = store.lives(rows)
        # Rows that came after the generation in hand.
        return living if living.all() or not store.refresh() else store.lives(rows)

    def count(self) -> int:
        """How many clips live."""
        return len(self._newest())

    def living(self) -> Rows:
        """The rows of all living clips."""
        tables = [table["row"].to_numpy() for table in self._newest().clips()]
        return np.concatenate(tables) if tables else as_rows([])

    def lost(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each row is of a segment that is not in the folder, bool [n].

        Neither committed nor waiting for its commit: then the folder is an older copy, or the row died and
        was erased with all that was written together with it.
        """
        numbers = {segment_number(name) for name in listed(self.folder / SEGMENTS) if name.endswith(".json")}
        for segment in self._newest().segments:
            numbers.update(each.number for each in segment.ranges)
        return ~np.isin(split(rows)[0], np.array(sorted(numbers), np.uint64))

    def gather(self, rows: Rows) -> TokenRows:
        """Tokens of those of the rows that live, in their order."""
        store = self._store()
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
            return self._store().tokens(as_rows([row])).tokens
        except DeadRowsError as error:
            raise CicoError("a clip was deleted while it was being searched for") from error

    def _compact(
        self, *, dead_share: float, small_bytes: int = SMALL_BYTES, target_bytes: int = TARGET_BYTES
    ) -> None:
        try:
            compact(self.folder, dead_share=dead_share, small_bytes=small_bytes, target_bytes=target_bytes)
        except ConflictError:  # another process does the same
            return

    def _store(self) -> TokenStore:
        with self._opening:
            if self._opened is None:
                self._opened = TokenStore.open(self.folder)
            return self._opened

    def _newest(self) -> TokenStore:
        store = self._store()
        store.refresh()
        return store
