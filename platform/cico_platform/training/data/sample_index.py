"""The index of a sample store: one memory-mapped Arrow file with the offsets of every segment's frames."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cico_platform.errors import CicoError
from cico_platform.schemas.ledger import DONE
from cico_platform.storage import Place, write_whole
from cico_platform.training.data.cuts import FrameSettings
from cico_platform.training.data.sample_ledger import Ledger

INDEX_FILE = "index.arrow"
INDEX_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("label", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("offsets", pa.large_list(pa.int64()), nullable=False),
    ]
)
_ABOUT = b"sample_store"


@dataclass(frozen=True)
class Shard:
    """The name of a shard, and how many bytes its file of frames has."""

    name: str
    frames_bytes: int


def write_index(folder: Place, key: str, ledgers: Sequence[Ledger], settings: FrameSettings) -> None:
    """Write the index of all samples, in the order of the shards; it comes last and makes the store whole."""
    tables = [_indexed(ledger.rows, number) for number, ledger in enumerate(ledgers)]
    table = pa.concat_tables(tables) if tables else INDEX_SCHEMA.empty_table()
    shards = [[ledger.name, ledger.frames_bytes] for ledger in ledgers]
    about = {"key": key, "settings": settings.model_dump(), "shards": shards}
    schema = INDEX_SCHEMA.with_metadata({_ABOUT: json.dumps(about).encode()})
    table = table.cast(schema).unify_dictionaries().combine_chunks()
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, schema) as writer:
        writer.write_table(table)
    write_whole(folder / INDEX_FILE, buffer.getvalue())


def _indexed(rows: pa.Table, number: int) -> pa.Table:
    done = rows.filter(pc.equal(rows["outcome"], DONE))
    columns = {
        "video_id": done["video_id"],
        "start": done["start"],
        "label": done["label"].dictionary_encode(),
        "shard": pa.array(np.full(len(done), number, np.int32)),
        "frames": done["frames"],
        "offsets": done["offsets"],
    }
    return pa.table(columns).cast(INDEX_SCHEMA)


class SampleIndex:
    """An open index. The columns lie in the page cache of the machine, not in the process.

    Attributes
    ----------
    key, settings, shards
        What the store was built from, how its frames are kept, and its files.
    labels
        The signs.
    label_numbers
        int32 [N]: of each sample, an index into `labels`.
    shard_numbers, frame_counts, starts
        int32 [N]: of each sample, an index into `shards`; its frames without the backdrop; its first frame in
        the clip.
    """

    def __init__(self, path: Path) -> None:
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            about: dict[str, Any] = json.loads(table.schema.metadata[_ABOUT])
            self.settings = FrameSettings(**about["settings"])
            self.key = str(about["key"])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise CicoError(f"'{path}' is no index of a sample store; remove its folder: {error}") from error
        self.shards = [Shard(name, size) for name, size in about["shards"]]
        columns = {name: _column(table, name) for name in INDEX_SCHEMA.names}
        self.labels: list[str] = columns["label"].dictionary.to_pylist() if len(table) else []
        self.label_numbers = _integers(columns["label"].indices if len(table) else pa.array([], pa.int32()))
        self.shard_numbers, self.frame_counts, self.starts = (
            _integers(columns[name]) for name in ("shard", "frames", "start")
        )
        self._video_ids = columns["video_id"]
        self._first = _integers(columns["offsets"].offsets) if len(table) else np.zeros(1, np.int64)
        self._offsets = _integers(columns["offsets"].values) if len(table) else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.frame_counts)

    def video_id(self, sample: int) -> str:
        """The clip of a sample."""
        return str(self._video_ids[sample].as_py())

    def offsets(self, sample: int) -> NDArray[np.int64]:
        """Positions of a sample's frames in its shard, and the end of the last one."""
        return self._offsets[self._first[sample] : self._first[sample + 1]]


def _column(table: pa.Table, name: str) -> Any:
    column = table[name]
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _integers(array: Any) -> NDArray[Any]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=True)
    return values
