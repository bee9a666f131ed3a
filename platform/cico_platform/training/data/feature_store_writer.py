"""Making a feature store from feature shards: one pass, in bounded memory, resumed after a kill."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cico_platform.errors import CicoError, InputError
from cico_platform.schemas.features import FEATURES_SCHEMA
from cico_platform.steps import write_json
from cico_platform.storage import Place
from cico_platform.training.data.feature_rows import Array
from cico_platform.training.data.feature_store import clip_checksum
from cico_platform.training.data.feature_store_files import (
    CHECKED_WHOLE,
    CHECKSUMS,
    FEATURES,
    FILES,
    HEADER_FILE,
    ID_OFFSETS,
    IDS,
    OFFSETS,
    STARTS,
    Header,
    LeftOut,
    file_checksum,
)

PROGRESS_FILE = "progress.json"
COLUMNS = ("video_id", "encoder_id", "window_starts", "features")
# Rows of a shard that are in memory at a time; a row of the paper's size has 128 KiB.
ROWS_AT_ONCE = 64
# What a kill costs at most is written again; each commit waits for the disk.
COMMIT_BYTES = 1 << 28
# All bits of a half-precision exponent are set in what is infinite or no number.
EXPONENT = np.uint16(0x7C00)
OnShard = Callable[[int, int], None]


class _Clip(NamedTuple):
    """A clip as a store holds it."""

    video_id: str
    starts: NDArray[np.int32]
    values: Array


@dataclass
class _Progress:
    """Committed sizes of a store's files; bytes beyond them were not committed."""

    key: str
    shards: int = 0
    clips: int = 0
    windows: int = 0
    id_bytes: int = 0
    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILES, 0))
    left_out: LeftOut = field(default_factory=LeftOut)


def write_store(
    folder: Path,
    shards: Sequence[Place],
    encoders: Sequence[str],
    dim: int,
    key: str,
    on_shard: OnShard | None = None,
    commit_bytes: int = COMMIT_BYTES,
) -> Header:
    """Write a store into a folder, from where an earlier try was committed; one process at a time.

    Clips that can't be used are left out, and named in the header: an encoder's features are missing, are not
    as many as the windows are, or are not finite; or two encoders had different windows.

    Parameters
    ----------
    shards
        Parquet files of `FEATURES_SCHEMA`, in a fixed order.
    encoders
        Ids of the encoders whose features are stored, in this order.
    key
        Names the features; an earlier try with another one is started anew.
    on_shard
        Told shards done, and of how many, after each.
    commit_bytes
        Bytes after which what is written is made to last.

    Raises
    ------
    InputError
        If a shard cannot be read, or no clip is left.
    CicoError
        If the disk is full. What is written stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            writer = _Writer(folder, key, encoders, dim, stack)
            for number, shard in enumerate(shards[writer.progress.shards :], writer.progress.shards + 1):
                for clip in _clips(shard, encoders, dim, writer.progress.left_out):
                    writer.add(clip)
                writer.progress.shards = number
                if writer.uncommitted() >= commit_bytes:
                    writer.commit()
                if on_shard:
                    on_shard(number, len(shards))
            writer.commit()
            return writer.finish()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CicoError(
                f"no space is left in '{folder.parent}' for the copy of the features that a training reads; "
                "free some, or name another folder with --set run.store=DIR; the same command goes on"
            ) from error
        raise


class _Writer:
    """Appends clips to the files of a store."""

    def __init__(self, folder: Path, key: str, encoders: Sequence[str], dim: int, stack: ExitStack) -> None:
        self.folder, self.encoders, self.dim = folder, list(encoders), dim
        self.progress = _resumed(folder, key)
        self.files: dict[str, BinaryIO] = {}
        for name in FILES:
            path = folder / name
            path.touch()
            os.truncate(path, self.progress.sizes[name])
            self.files[name] = stack.enter_context(path.open("ab"))
        for name in (OFFSETS, ID_OFFSETS):
            if not self.progress.sizes[name]:
                self._append(name, np.zeros(1, np.int64))

    def add(self, clip: _Clip) -> None:
        """Append a clip."""
        progress, name = self.progress, clip.video_id.encode()
        progress.clips += 1
        progress.windows += len(clip.starts)
        progress.id_bytes += len(name)
        self._append(FEATURES, clip.values)
        self._append(STARTS, clip.starts)
        self._append(OFFSETS, np.array([progress.windows], np.int64))
        self._append(CHECKSUMS, np.array([clip_checksum(clip.starts, clip.values)], np.uint32))
        self.files[IDS].write(name)
        self._append(ID_OFFSETS, np.array([progress.id_bytes], np.int64))

    def uncommitted(self) -> int:
        """Return the bytes of features since the last commit."""
        return self.files[FEATURES].tell() - self.progress.sizes[FEATURES]

    def commit(self) -> None:
        """Make what is written last."""
        for name, file in self.files.items():
            file.flush()
            os.fsync(file.fileno())
            self.progress.sizes[name] = file.tell()
        write_json(self.folder / PROGRESS_FILE, asdict(self.progress))

    def finish(self) -> Header:
        """Write the header; the store is whole.

        Raises
        ------
        InputError
            If it holds no clip.
        """
        progress = self.progress
        if not progress.clips:
            left = progress.left_out
            why = f" ({left.count} left out; '{left.first[0][0]}': {left.first[0][1]})" if left.count else ""
            raise InputError(f"no clip has features that can be used{why}; run 'cico features' again")
        header = Header(
            progress.key,
            self.dim,
            self.encoders,
            progress.clips,
            progress.windows,
            progress.sizes,
            {name: file_checksum(self.folder / name) for name in CHECKED_WHOLE},
            progress.left_out,
        )
        write_json(self.folder / HEADER_FILE, header.as_json())
        (self.folder / PROGRESS_FILE).unlink(missing_ok=True)
        return header

    def _append(self, name: str, values: NDArray[Any]) -> None:
        self.files[name].write(np.ascontiguousarray(values).data)


def _resumed(folder: Path, key: str) -> _Progress:
    """Return what an earlier attempt has committed; remove files that are damaged or of another key."""
    try:
        told = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
        found = _Progress(**{**told, "left_out": LeftOut(**told["left_out"])})
        written = {name: (folder / name).stat().st_size for name in FILES}
        if found.key == key and all(written[name] >= found.sizes[name] for name in FILES):
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for path in folder.iterdir():
        if path.name in (*FILES, PROGRESS_FILE, HEADER_FILE):
            path.unlink()
    return _Progress(key)


def _clips(shard: Place, encoders: Sequence[str], dim: int, left_out: LeftOut) -> Iterator[_Clip]:
    """The clips of a shard that can be used; a clip's rows may lie anywhere in it.

    Rows of encoders that are not wanted are passed over.
    """
    waiting: dict[str, dict[str, tuple[NDArray[np.int32], Array]]] = {}
    refused: set[str] = set()
    for video_id, encoder, starts, values in _rows(shard):
        if encoder not in encoders or video_id in refused:
            continue
        if reason := _fault(starts, values, dim):
            refused.add(video_id)
            waiting.pop(video_id, None)
            left_out.add(video_id, reason)
            continue
        found = waiting.setdefault(video_id, {})
        found[encoder] = (starts, values.reshape(-1, dim))
        if len(found) < len(encoders):
            continue
        del waiting[video_id]
        if any(not np.array_equal(starts, other) for other, _ in found.values()):
            left_out.add(video_id, "its encoders have seen different windows")
            continue
        yield _Clip(video_id, starts, np.stack([found[name][1] for name in encoders]))
    for video_id, found in waiting.items():
        missing = ", ".join(name for name in encoders if name not in found)
        left_out.add(video_id, f"it has no features by {missing}")


def _rows(shard: Place) -> Iterator[tuple[str, str, NDArray[np.int32], Array]]:
    """A shard's rows: clip, encoder, window starts int32 [W], features float16 [W * F]; copies."""
    try:
        with shard.open("rb") as file, pq.ParquetFile(file) as table:
            _check_columns(table.schema_arrow)
            for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(COLUMNS)):
                columns = [batch.column(batch.schema.get_field_index(name)) for name in COLUMNS]
                names, encoders = columns[0].to_pylist(), columns[1].to_pylist()
                starts, values = (_lists(column) for column in columns[2:])
                yield from zip(names, encoders, starts, values, strict=True)
    except (pa.ArrowException, ValueError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"'{shard}' holds no features: {line}; remove '{shard.parent}' and run 'cico features' again"
        ) from error


def _check_columns(schema: pa.Schema) -> None:
    """Refuse a table without the columns that are read, or with others of their names."""
    for name in COLUMNS:
        wanted = FEATURES_SCHEMA.field(name).type
        if name not in schema.names or schema.field(name).type != wanted:
            raise ValueError(f"it has no column '{name}' of type {wanted}")


def _lists(column: pa.ListArray) -> Iterator[NDArray[Any]]:
    """The lists of a column as arrays; one that is null is empty."""
    flat = column.values.to_numpy(zero_copy_only=False)
    ends = column.offsets.to_numpy()
    for first, last, known in zip(ends[:-1], ends[1:], column.is_valid().to_pylist(), strict=True):
        yield flat[first:last].copy() if known else flat[:0]


def _fault(starts: NDArray[np.int32], values: Array, dim: int) -> str:
    """Why a row cannot be used; "" if it can."""
    if not len(starts):
        return "it has no windows"
    if len(values) != len(starts) * dim:
        return f"{len(values)} values are not {len(starts)} windows of width {dim}"
    if bool(((values.view(np.uint16) & EXPONENT) == EXPONENT).any()):
        return "its features are not finite"
    return ""


def remove_store(folder: Path) -> None:
    """Remove a store, its header first: a process that looks at it meanwhile finds none."""
    (folder / HEADER_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
