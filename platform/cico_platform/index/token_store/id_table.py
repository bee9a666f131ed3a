"""The clips of a segment: an Arrow table sorted by a hash of their ids, searched without being loaded."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.files import HashedFile, check_content
from cico_platform.index.token_store.records import SegmentInfo

IDS_SCHEMA = pa.schema(
    [
        # The first eight bytes of BLAKE2b of the id.
        pa.field("hash", pa.uint64(), nullable=False),
        # Within the segment's files.
        pa.field("row", pa.int64(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("clip_key", pa.string(), nullable=False),
    ]
)


def id_hashes(video_ids: Sequence[str]) -> NDArray[np.uint64]:
    """Return the hash of each id, uint64 [n]."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in video_ids)
    return np.frombuffer(digests, dtype="<u8")


def ids_table(video_ids: Sequence[str], clip_keys: Sequence[str]) -> pa.Table:
    """Return the table of a segment whose rows are these clips, in their order."""
    columns = {
        "hash": pa.array(id_hashes(video_ids)),
        "row": pa.array(np.arange(len(video_ids), dtype=np.int64)),
        "video_id": pa.array(video_ids, pa.string()),
        "clip_key": pa.array(clip_keys, pa.string()),
    }
    return pa.table(columns, schema=IDS_SCHEMA)


def write_ids(table: pa.Table, file: HashedFile) -> None:
    """Write a table of `IDS_SCHEMA`, sorted, as one batch of an Arrow file without compression."""
    ordered = table.sort_by([("hash", "ascending"), ("row", "ascending")]).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, IDS_SCHEMA) as writer:
        writer.write_table(ordered)
    file.write(memoryview(sink.getvalue()))


def open_ids(info: SegmentInfo, path: Path) -> "IdTable":
    """Open the table of a segment.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    DamagedFileError
        If it is not what was written.
    """
    table = IdTable(check_content(path, info.id_file))
    if len(table) != info.clips:
        raise DamagedFileError(f"'{path}' has {len(table)} clips, not {info.clips}")
    return table


class IdTable:
    """An open table: its columns lie in the page cache, not in the process.

    Parameters
    ----------
    path
        Of a file whose checksum is known to be right.
    """

    def __init__(self, path: Path) -> None:
        try:
            # Closed at once: the buffers keep the map, and no descriptor stays open.
            with pa.memory_map(str(path)) as source:
                self.table = pa.ipc.open_file(source).read_all()
        except pa.ArrowException as error:
            raise DamagedFileError(f"'{path}' is no table of clips: {error}") from error
        if self.table.schema != IDS_SCHEMA:
            raise DamagedFileError(f"'{path}' has the columns {', '.join(self.table.schema.names)}")

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row within the segment's files of each clip, int64 [n]."""
        rows: NDArray[np.int64] = self._numbers("row")
        return rows

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """Hash of each clip's id, ascending, uint64 [n]."""
        hashes: NDArray[np.uint64] = self._numbers("hash")
        return hashes

    def find(
        self, video_ids: Sequence[str], hashes: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find clips by binary search.

        Parameters
        ----------
        hashes
            `id_hashes` of the ids.

        Returns
        -------
        tuple
            int64 [m] and int64 [m]: indices of ids that are in the table, and their rows. An id may be there
            more than once.
        """
        known = self.hashes
        begins = np.searchsorted(known, hashes, "left")
        ends = np.searchsorted(known, hashes, "right")
        which, found = [], []
        names, rows = self.table["video_id"], self.rows
        for index in np.flatnonzero(ends > begins).tolist():
            for position in range(int(begins[index]), int(ends[index])):
                if names[position].as_py() == video_ids[index]:  # two ids may have the same hash
                    which.append(index)
                    found.append(int(rows[position]))
        return np.array(which, np.int64), np.array(found, np.int64)

    def _numbers(self, name: str) -> NDArray[Any]:
        column = self.table[name]
        kind = IDS_SCHEMA.field(name).type.to_pandas_dtype()
        if column.num_chunks == 0:
            return np.zeros(0, kind)
        values: NDArray[Any] = column.chunk(0).to_numpy(zero_copy_only=True)
        return values
