"""The clips of a run as the driver knows them: names, keys and row numbers, in Arrow columns."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cico_platform.corpus.manifest import Corpus, check_unique
from cico_platform.corpus.manifest_rows import Rows, keys_now, keys_of_unchanged
from cico_platform.pipelines.workers import on_workers
from cico_platform.storage import Place, absolute

# Rows whose keys one task checks.
ROWS_PER_TASK = 4096
# Files of so many clips are looked at by this process, which opens none: that takes a fraction of a second.
CHECKED_HERE = 10_000
DIGEST_ROWS = 1 << 16


@dataclass(frozen=True)
class ClipTable:
    """Clips of a run; the position of a clip is its number in these columns.

    Attributes
    ----------
    video_ids, keys
        Strings [N]: names, and `clip_key`s.
    rows
        int64 [N]: numbers of their rows in the manifest.
    """

    video_ids: pa.StringArray
    keys: pa.StringArray
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, positions: NDArray[np.int64]) -> "ClipTable":
        """Return the clips at these positions."""
        chosen = pa.array(positions)
        return ClipTable(self.video_ids.take(chosen), self.keys.take(chosen), self.rows[positions])

    def digest(self) -> str:
        """Return a name of all clips and their keys."""
        return digest_of([self.video_ids, self.keys])

    def positions(self, video_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the positions of these clips, -1 of unknown ones."""
        found = pc.fill_null(pc.index_in(video_ids, value_set=self.video_ids), -1)
        return np.asarray(found, dtype=np.int64)

    def same(self, video_ids: pa.ChunkedArray, keys: pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the positions of these clips, -1 of those that are unknown or have another key."""
        found = self.positions(video_ids)
        own = self.keys.take(pa.array(np.maximum(found, 0))) if len(self) else pa.array([], pa.string())
        equal = np.asarray(pc.fill_null(pc.equal(own, keys), False)) if len(self) else found == 0
        return np.where(equal & (found >= 0), found, -1)


def read_clips(corpus: str | Place, split: str | None = None, here: int = 0) -> ClipTable:
    """Read the names of a corpus' sentence clips, and let workers check their keys.

    Parameters
    ----------
    here
        Files of up to so many clips are opened by threads of this process.

    Raises
    ------
    InputError
        If there is no manifest.
    """
    source = Corpus(corpus)
    names, rows = sentences(source, split)
    return ClipTable(names, keys_of_rows(absolute(source.path), rows, here), rows)


def sentences(corpus: Corpus, split: str | None = None) -> tuple[pa.StringArray, Rows]:
    """Return the names of the clips without a label, of one split or of all, and their rows' numbers.

    Raises
    ------
    InputError
        If there is no manifest, or it names two clips alike.
    """
    table = corpus.table(["video_id", "split", "label"])
    check_unique(table["video_id"], corpus.path)
    chosen = pc.is_null(table["label"])
    if split is not None:
        chosen = pc.and_(chosen, pc.equal(table["split"], split))
    rows = np.flatnonzero(np.asarray(chosen))
    return _joined([table["video_id"].take(pa.array(rows))]), rows


def keys_of_rows(corpus: str, rows: Rows, here: int = 0) -> pa.StringArray:
    """Return the keys of the clips of these rows of a manifest, as their files are now; see `read_clips`.

    Those of a small corpus that has not changed need no worker.
    """
    known = keys_of_unchanged(corpus, rows) if len(rows) <= CHECKED_HERE else pa.nulls(len(rows), pa.string())
    unknown = np.flatnonzero(np.asarray(known.is_null()))
    if not len(unknown):
        return known
    chunks = [unknown[first : first + ROWS_PER_TASK] for first in range(0, len(unknown), ROWS_PER_TASK)]
    check, items = partial(_keys_of_chunk, corpus), [rows[chunk] for chunk in chunks]
    found: dict[int, pa.Array] = {}
    for (number, _), keys in on_workers(check, list(enumerate(items)), here=len(rows) <= here):
        found[number] = keys
    return pc.replace_with_mask(
        known, known.is_null(), _joined(found[number] for number in range(len(chunks)))
    )


def _keys_of_chunk(corpus: str, chunk: tuple[int, Rows]) -> pa.StringArray:
    return keys_now(corpus, chunk[1])


def _joined(arrays: Iterable[pa.Array | pa.ChunkedArray]) -> pa.StringArray:
    chunks = [
        c for array in arrays for c in (array.chunks if isinstance(array, pa.ChunkedArray) else [array])
    ]
    return pa.concat_arrays([chunk.cast(pa.string()) for chunk in chunks] or [pa.array([], pa.string())])


def table_of(ledger: pa.Table) -> ClipTable:
    """Return the clips of a ledger (`LEDGER_SCHEMA`)."""
    columns = (ledger[name] for name in ("video_id", "clip_key"))
    names, keys = (_joined([column]) for column in columns)
    return ClipTable(names, keys, np.arange(len(ledger)))


def digest_of(columns: Iterable[pa.Array | pa.ChunkedArray]) -> str:
    """Return a name of the texts of some columns."""
    digest = sha256()
    for column in columns:
        digest.update(b"\0column")
        for first in range(0, len(column), DIGEST_ROWS):
            texts = column.slice(first, DIGEST_ROWS).to_pylist()
            digest.update("".join(f"{len(text)}:{text}" for text in texts).encode())
    return digest.hexdigest()[:16]
