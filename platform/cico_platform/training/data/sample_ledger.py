"""Ledgers of a sample store: what became of each segment of a shard, and where its frames lie."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cico_platform.schemas.ledger import QUARANTINED
from cico_platform.shard_output import attempt
from cico_platform.storage import Place, file_sizes

Row = dict[str, Any]
FRAMES_SUFFIX, LEDGER_SUFFIX = ".frames", ".parquet"
READERS = 16
BYTES_OF_FRAMES = b"frames_bytes"
# `offsets` are positions in the shard's file of frames: one a frame, and the end of the last one. Where the
# store keeps backdrops, a segment's backdrop follows its frames.
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("offsets", pa.list_(pa.int64()), nullable=False),
    ]
)


@dataclass(frozen=True)
class Ledger:
    """Of one shard: its rows (`LEDGER_SCHEMA`), and how many bytes its file of frames has."""

    name: str
    rows: pa.Table
    frames_bytes: int


def read_ledgers(folder: Place, names: Sequence[str]) -> dict[str, Ledger]:
    """Read the ledgers of the shards that are whole: the file of frames is there and not cut."""
    sizes = attempt(folder, lambda: file_sizes(folder))
    there = [name for name in names if f"{name}{LEDGER_SUFFIX}" in sizes]
    with ThreadPoolExecutor(READERS) as pool:
        ledgers = pool.map(lambda name: read_ledger(folder, name), there)
        return {
            ledger.name: ledger
            for ledger in ledgers
            if ledger is not None and sizes.get(f"{ledger.name}{FRAMES_SUFFIX}", 0) == ledger.frames_bytes
        }


def read_ledger(folder: Place, name: str) -> Ledger | None:
    """Read one ledger; None if it is damaged."""
    content = attempt(folder, (folder / f"{name}{LEDGER_SUFFIX}").read_bytes)
    try:
        rows = pq.read_table(io.BytesIO(content))
        return Ledger(name, rows.cast(LEDGER_SCHEMA), int(rows.schema.metadata[BYTES_OF_FRAMES]))
    except (pa.ArrowException, KeyError, TypeError, ValueError):
        return None


def quarantine_rows(ledgers: Sequence[Ledger]) -> tuple[list[Row], int]:
    """Rows for the corpus' quarantine: one of each clip that gave no sample, else one of each segment.

    Returns
    -------
    tuple
        The rows, ordered by `video_id`, and the number of clips that gave no sample.
    """
    rows: list[Row] = []
    lost = 0
    for ledger in ledgers:
        by_clip: dict[str, list[Row]] = {}
        for row in ledger.rows.drop_columns(["offsets"]).to_pylist():
            by_clip.setdefault(row["video_id"], []).append(row)
        for segments in by_clip.values():
            bad = [row for row in segments if row["outcome"] == QUARANTINED]
            if len(bad) == len(segments):
                bad, lost = bad[:1], lost + 1
            rows += [{name: row[name] for name in ("video_id", "path", "reason")} for row in bad]
    return sorted(rows, key=lambda row: str(row["video_id"])), lost
