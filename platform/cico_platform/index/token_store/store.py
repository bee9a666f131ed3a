"""A token store that is open for reading."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.index.token_store.cache import SegmentCache
from cico_platform.index.token_store.errors import ConflictError, DamagedFileError, DeadRowsError
from cico_platform.index.token_store.files import check_content
from cico_platform.index.token_store.gathering import TokenRows, clips, find, gather
from cico_platform.index.token_store.id_table import id_hashes
from cico_platform.index.token_store.manifests import read_manifest
from cico_platform.index.token_store.mapping import map_array
from cico_platform.index.token_store.pool import OpenFiles
from cico_platform.index.token_store.records import Layout, Manifest, SegmentInfo
from cico_platform.index.token_store.row_numbers import Rows, as_rows
from cico_platform.index.token_store.snapshots import Snapshot
from cico_platform.index.token_store.store_codec import load_codec
from cico_platform.index.token_store.store_files import StoreFiles, files_of
from cico_platform.storage import Place, place

T = TypeVar("T")
ATTEMPTS = 5


class TokenStore:
    """Reads tokens by row number.

    What is read belongs to one generation of the store, until `refresh` takes the newest one. A row number
    means the same clip in every generation, so that nothing wrong is read where a reader is behind: rows that
    came later do not live yet, and rows that died meanwhile still do. Where files of its generation have been
    compacted away, the reader takes the newest one by itself.

    Safe to use from several threads. Opening costs a few numbers a segment, whatever the number of clips;
    segments are opened when they are first used.

    Parameters
    ----------
    folder
        Of the store.
    files
        Where its files can be mapped. `TokenStore.open` chooses.
    """

    def __init__(self, folder: Place, files: StoreFiles) -> None:
        self.place, self._files = folder, files
        self._refreshing = threading.Lock()
        self._open = OpenFiles(files)
        # Copies that were to be removed from the cache, but are in use.
        self._left_over: list[str] = []
        self._snapshot = newest_snapshot(folder, files)
        self._codec = load_codec(folder, self.layout)
        self._drop_others()

    @classmethod
    def open(cls, folder: str | Place, cache: SegmentCache | str | Path | None = None) -> Self:
        """Open the store in a folder or behind a URL.

        Parameters
        ----------
        cache
            For a URL: where copies of segments are kept. By default in this user's temporary folder, in up to
            80% of the free disk.

        Raises
        ------
        InputError
            If there is no store.
        DamagedFileError
            If its manifest cannot be used.
        """
        there = place(folder)
        return cls(there, files_of(there, cache))

    @property
    def layout(self) -> Layout:
        """What all segments have in common."""
        return self._snapshot.manifest.layout

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.layout.dim

    @property
    def generation(self) -> int:
        """Grows with each change of the store."""
        return self._snapshot.manifest.generation

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """The live segments."""
        return self._snapshot.manifest.segments

    def __len__(self) -> int:
        """Return how many clips live."""
        return self._snapshot.manifest.living

    def lives(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each row holds a living clip, bool [n]: neither dead nor unknown to this generation."""
        return self._snapshot.lives(as_rows(rows))

    def tokens(self, rows: Rows, dead: Literal["refuse", "drop"] = "refuse") -> TokenRows:
        """Read the tokens of rows, in their order. One copy is made, a second one where they are quantised.

        Parameters
        ----------
        rows
            uint64 [n]; one may be asked for twice.
        dead
            Whether rows without a living clip are an error, or left out of the answer.

        Raises
        ------
        DeadRowsError
            For a row without a living clip.
        DamagedFileError
            If a file is missing or not what was written.
        """
        wanted = as_rows(rows)

        def read(snapshot: Snapshot) -> TokenRows:
            living = snapshot.lives(wanted)
            if dead == "refuse" and not living.all():
                raise DeadRowsError(str(self.place), wanted[~living].tolist())
            return gather(snapshot, self._open, self._codec, wanted[living])

        return self._retried(read)

    def find(self, video_ids: Sequence[str]) -> Rows:
        """Return the row of each clip, uint64 [n]; `NO_ROW` where none of that id lives.

        Searches a sorted column of each segment by bisection; no ids are loaded.
        """
        hashes = id_hashes(video_ids)
        return self._retried(lambda snapshot: find(snapshot, self._open, video_ids, hashes))

    def clips(self) -> Iterator[pa.Table]:
        """Yield the living clips of each segment as a table of `gathering.CLIPS_SCHEMA`.

        Raises
        ------
        ConflictError
            If the store was compacted meanwhile.
        """
        snapshot = self._snapshot
        for number in range(len(snapshot.manifest.segments)):
            try:
                yield clips(snapshot, self._open, number)
            except FileNotFoundError as error:
                raise ConflictError(f"'{self.place}' was compacted while it was listed; try again") from error

    def refresh(self) -> bool:
        """Take the newest generation; returns whether there was one.

        What is being read ends with the generation that it began with.

        Copies of segments that are no longer part of the store are removed from the cache, as soon as no
        process of this machine has them in use.
        """
        return self._newer_than(self._snapshot)

    def close(self) -> None:
        """Close all segments; what is read afterwards opens them again."""
        self._open.close()
        self._files.close()

    def _newer_than(self, snapshot: Snapshot) -> bool:
        with self._refreshing:
            if self._snapshot is not snapshot:  # another thread was faster
                return True
            if read_manifest(self.place).commit == snapshot.manifest.commit:
                if self._left_over:
                    self._drop_others()
                return False
            self._snapshot = newest_snapshot(self.place, self._files)
            self._drop_others()
            return True

    def _retried(self, read: Callable[[Snapshot], T]) -> T:
        """What `read` returns, from a newer generation where files of the one in hand are gone."""
        for _ in range(ATTEMPTS):
            snapshot = self._snapshot
            try:
                return read(snapshot)
            except FileNotFoundError as error:
                if not self._newer_than(snapshot):
                    raise DamagedFileError(f"a file of the token store is missing: {error}") from error
        raise ConflictError(f"the token store '{self.place}' changes faster than it can be read")

    def _drop_others(self) -> None:
        manifest = self._snapshot.manifest
        names = set(manifest.names())
        self._open.keep_only(names)
        needed = names | ({manifest.dead.file.name} if manifest.dead else set())
        self._left_over = self._files.keep_only(needed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def newest_snapshot(folder: Place, files: StoreFiles) -> Snapshot:
    """Read the newest manifest and map its dead rows.

    Raises
    ------
    InputError, DamagedFileError
        As `read_manifest`; also if the file of dead rows is not what was written.
    """
    for _ in range(ATTEMPTS):
        manifest = read_manifest(folder)
        try:
            return Snapshot(manifest, dead_rows(manifest, files))
        except FileNotFoundError as error:
            if read_manifest(folder).commit == manifest.commit:
                raise DamagedFileError(f"a file of the token store is missing: {error}") from error
    raise ConflictError(f"the token store '{folder}' changes faster than it can be read")


def dead_rows(manifest: Manifest, files: StoreFiles) -> Rows:
    """Map the dead rows of a generation, uint64, ascending.

    Raises
    ------
    FileNotFoundError
        If their file is not there.
    DamagedFileError
        If it is not what was written.
    """
    if manifest.dead is None:
        return as_rows([])
    path = files.acquire(manifest.dead.file, folder="")
    try:
        check_content(path, manifest.dead.file)
        return map_array(path, manifest.dead.rows, "<u8")
    finally:
        files.release(manifest.dead.file)  # the map stays
