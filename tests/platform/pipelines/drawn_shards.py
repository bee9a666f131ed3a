"""Outputs of drawn rows, written as workers write them, without an encoder."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cico_platform.pipelines.clip_table import ClipTable
from cico_platform.pipelines.ledgers import read_ledgers
from cico_platform.pipelines.shard_sink import BatchClip, ShardSink
from cico_platform.pipelines.shards import ShardKind
from cico_platform.schemas.features import FEATURES_SCHEMA, ClipFeatures, features_table
from cico_platform.schemas.ledger import DONE, QUARANTINED, LedgerRow
from cico_platform.storage import Place, absolute

KIND = ShardKind(FEATURES_SCHEMA, "recipe", "encoding")
DIM = 4


def clips_named(count: int, changed: str = "") -> ClipTable:
    """So many clips; `changed` makes their keys others."""
    names = [f"clip-{number:03d}" for number in range(count)]
    keys = [f"key-{name}{changed}" for name in names]
    return ClipTable(pa.array(names), pa.array(keys), np.arange(count))


def write_batch(
    folder: Place, clips: ClipTable, positions: list[int], bad: tuple[int, ...] = (), kind: ShardKind = KIND
) -> pa.Table:
    """Write the shard of a batch as a worker does; `bad` positions go into quarantine."""
    chosen = [BatchClip(p, clips.video_ids[p].as_py(), clips.keys[p].as_py()) for p in positions]

    def compute() -> tuple[pa.Table, list[LedgerRow]]:
        good = [clip for clip in chosen if clip.position not in bad]
        rows = [
            ClipFeatures(
                clip.video_id,
                encoder,
                [0, 1],
                [0.0, 1.0, 1.0, 2.0],
                np.full((2, DIM), clip.position, np.float16),
                truncated=clip.position % 5 == 0,
                short=False,
            )
            for clip in good
            for encoder in ("first", "second")
        ]
        ledger = [
            LedgerRow(clip.video_id, clip.clip_key, QUARANTINED, "no video", f"/{clip.video_id}.mp4")
            if clip.position in bad
            else LedgerRow(clip.video_id, clip.clip_key, DONE, windows=2, truncated=clip.position % 5 == 0)
            for clip in chosen
        ]
        return features_table(rows, DIM), ledger

    return ShardSink(absolute(folder), kind).write(chosen, compute)


def rows_counted(folder: Place, clips: ClipTable) -> dict[str, int]:
    """How many rows a reader sees of each clip: those in the file that counts for it."""
    ledgers = read_ledgers(folder)
    counts, _ = ledgers.counted(clips)
    names = ledgers.rows["video_id"].to_pylist()
    seen: dict[str, int] = {}
    for row in np.flatnonzero(counts).tolist():
        path = ledgers.files[int(ledgers.file_of_row[row])]
        with path.open("rb") as file:
            held = pq.read_table(file, columns=["video_id"])["video_id"].to_pylist()
        seen[names[row]] = seen.get(names[row], 0) + held.count(names[row])
    return seen


def rows_stored(folder: Place) -> list[tuple[str, str, float]]:
    """Name, encoder and first value of each row of a finished output, in order."""
    found = []
    for path in sorted(folder.glob("part-*.parquet"), key=str):
        with path.open("rb") as file:
            for row in pq.read_table(file).to_pylist():
                found.append((row["video_id"], row["encoder_id"], float(row["features"][0])))
    return found
