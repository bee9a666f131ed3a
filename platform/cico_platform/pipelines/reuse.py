"""Features that an earlier run stored: the driver knows where they are, the workers read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from cico_model.sign_encoder import SignOutput
from cico_platform.pipelines.clip_table import ClipTable
from cico_platform.pipelines.ledgers import read_ledgers
from cico_platform.pipelines.workers import on_workers
from cico_platform.shard_output import attempt
from cico_platform.storage import Place, absolute, place

# Row groups that a worker keeps; their clips come in the order in which they were written.
GROUPS_HELD = 4
SHORTCOMINGS = ("truncated", "short")
COLUMNS = ("window_starts", "window_times", "dim", "features", *SHORTCOMINGS)


@dataclass(frozen=True)
class StoredFeatures:
    """Features of one clip by one encoder: first frames and times of the windows, and float16 [W, F].

    `shortcomings` says whether the clip was `truncated` and `short`.
    """

    starts: list[int]
    times: list[float]
    values: NDArray[np.float16]
    shortcomings: dict[str, bool]

    def output(self) -> SignOutput:
        """The features as an encoder's output; the class scores were not stored."""
        return SignOutput(torch.empty(len(self.starts), 0), torch.from_numpy(self.values))


@dataclass(frozen=True)
class StoredPlaces:
    """Where features are stored.

    Attributes
    ----------
    files
        Shards.
    numbers, rows
        int32 and int64 [N, E]: of each clip of a `ClipTable` and each encoder, the number of the shard (-1:
        there are no features) and the row in it.
    """

    files: tuple[str, ...]
    numbers: NDArray[np.int32]
    rows: NDArray[np.int64]

    def count(self, positions: NDArray[np.int64]) -> int:
        """How many times these clips' features by one encoder are stored."""
        return int((self.numbers[positions] >= 0).sum())


def find_stored(
    folders: Sequence[str | Place], encoders: Sequence[str], encoding: str, clips: ClipTable, here: bool
) -> StoredPlaces:
    """Find the features that need not be computed again.

    Parameters
    ----------
    folders
        Outputs of `cico features` or `cico mine`, finished or not. One that does not exist holds nothing.
    encoders
        Fingerprints of the sign encoders.
    encoding
        From `EncodingSettings.encoding`: features that were computed otherwise do not count.
    clips
        Features of a clip that has changed since do not count.
    """
    numbers = np.full((len(clips), len(encoders)), -1, dtype=np.int32)
    rows = np.zeros((len(clips), len(encoders)), dtype=np.int64)
    files: list[str] = []
    for folder in folders:
        ledgers = read_ledgers(place(folder))
        counts, positions = ledgers.counted(clips)
        right = np.array([each == encoding for each in ledgers.encodings], dtype=bool)
        if not len(right) or not right.any():
            continue
        held = np.unique(ledgers.file_of_row[counts & right[ledgers.file_of_row]])
        owners = np.full(len(clips), -1, dtype=np.int64)
        owners[positions[counts]] = ledgers.file_of_row[counts]
        paths = {absolute(ledgers.files[number]): int(number) for number in held}
        find = partial(_rows_of, encoders=tuple(encoders))
        tables, owner, file = [], [], []
        for path, table in on_workers(find, list(paths), here or len(paths) <= FILES_HERE):
            owner.append(np.full(len(table), paths[path]))
            file.append(np.full(len(table), len(files)))
            tables.append(table)
            files.append(path)
        if not tables:
            continue
        found = pa.concat_tables(tables)
        known = clips.positions(found["video_id"])  # of all files at once: each call costs what all clips do
        mine = np.flatnonzero((known >= 0) & (owners[known] == np.concatenate(owner)))
        encoder = np.asarray(found["encoder"])[mine]
        numbers[known[mine], encoder] = np.concatenate(file)[mine]
        rows[known[mine], encoder] = np.asarray(found["row"])[mine]
    return StoredPlaces(tuple(files), numbers, rows)


# Names of so many files' rows are read by threads of this process.
FILES_HERE = 64
_STORED_SCHEMA = pa.schema(
    [pa.field("video_id", pa.string()), pa.field("encoder", pa.int32()), pa.field("row", pa.int64())]
)


def _rows_of(path: str, encoders: tuple[str, ...]) -> pa.Table:
    """Find the rows of a shard that hold features by these encoders (`_STORED_SCHEMA`)."""

    def read() -> pa.Table:
        with place(path).open("rb") as opened:
            return pq.read_table(opened, columns=["video_id", "encoder_id"])

    table = attempt(place(path).parent, read)
    number = {name: index for index, name in enumerate(encoders)}
    found = np.array([number.get(name, -1) for name in table["encoder_id"].to_pylist()], dtype=np.int32)
    rows = np.flatnonzero(found >= 0)
    names = table["video_id"].take(pa.array(rows))
    columns = {"video_id": names, "encoder": found[rows], "row": rows.astype(np.int64)}
    return pa.table(columns, schema=_STORED_SCHEMA)


class StoredReader:
    """Reads stored features in a worker.

    Parameters
    ----------
    files
        `StoredPlaces.files`.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)
        self._ends = lru_cache(maxsize=None)(_group_ends)
        self._group = lru_cache(maxsize=GROUPS_HELD)(_read_group)

    def __call__(self, number: int, row: int) -> StoredFeatures | None:
        """The features in a row of a file; None if the number is -1."""
        if number < 0:
            return None
        path = self.files[number]
        ends = self._ends(path)
        group = int(np.searchsorted(ends, row, side="right"))
        table = self._group(path, group)
        own = row - (int(ends[group - 1]) if group else 0)
        starts, times, dim, flat, *lacks = (table[name][own] for name in COLUMNS)
        values = flat.values.to_numpy(zero_copy_only=False).reshape(-1, dim.as_py())
        told = {name: bool(lack.as_py()) for name, lack in zip(SHORTCOMINGS, lacks, strict=True)}
        return StoredFeatures(starts.as_py(), times.as_py(), np.array(values, dtype=np.float16), told)


def _group_ends(path: str) -> NDArray[np.int64]:
    def read() -> NDArray[np.int64]:
        with place(path).open("rb") as opened:
            found = pq.read_metadata(opened)
        return np.cumsum([found.row_group(n).num_rows for n in range(found.num_row_groups)])

    return attempt(place(path).parent, read)


def _read_group(path: str, group: int) -> pa.Table:
    def read() -> pa.Table:
        with place(path).open("rb") as opened:
            return pq.ParquetFile(opened).read_row_group(group, columns=list(COLUMNS))

    return attempt(place(path).parent, read)
