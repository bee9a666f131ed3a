"""Write one shard in a Ray Data task: decode its clips, store their frames and a ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from cico_platform.pipelines.decode import Frames, decode_row
from cico_platform.schemas.ledger import DONE, QUARANTINED
from cico_platform.shard_output import OutputError, attempt, whole_file
from cico_platform.storage import Place, write_table
from cico_platform.training.data.cuts import Cut, FrameSettings, PlannedClip, ShardPlan
from cico_platform.training.data.frame_codec import encode_frame
from cico_platform.training.data.sample_ledger import (
    BYTES_OF_FRAMES,
    FRAMES_SUFFIX,
    LEDGER_SCHEMA,
    LEDGER_SUFFIX,
    Row,
)


@dataclass(frozen=True)
class ShardOutcome:
    """Outcome of a shard: its stored and quarantined segments, or the reason why it was not written."""

    name: str
    samples: int
    quarantined: int
    failure: str = ""


def write_shard(plan: ShardPlan, folder: Place, settings: FrameSettings) -> ShardOutcome:
    """Decode the clips of a shard and write it: first the frames, then the ledger that makes it whole.

    A clip that cannot be decoded, or a segment outside its clip, is quarantined in the ledger. A file appears
    whole or not at all, and a task that runs again overwrites its own.
    """
    try:
        return attempt(folder, lambda: _write(plan, folder, settings))
    except OutputError as error:
        return ShardOutcome(plan.name, 0, 0, str(error))


def _write(plan: ShardPlan, folder: Place, settings: FrameSettings) -> ShardOutcome:
    rows: list[Row] = []
    with whole_file(folder / f"{plan.name}{FRAMES_SUFFIX}") as file:
        for clip in plan.clips:
            rows += _write_clip(clip, file, settings)
        size = file.tell()
    schema = LEDGER_SCHEMA.with_metadata({BYTES_OF_FRAMES: str(size)})
    write_table(folder / f"{plan.name}{LEDGER_SUFFIX}", pa.Table.from_pylist(rows, schema=schema))
    done = sum(row["outcome"] == DONE for row in rows)
    return ShardOutcome(plan.name, done, len(rows) - done)


def _write_clip(clip: PlannedClip, file: BinaryIO, settings: FrameSettings) -> Iterator[Row]:
    """Append a clip's segments to the frames; yields their rows of the ledger."""
    frames, error = decode_row(clip.source, settings.size)
    for cut in clip.cuts:
        row = {
            "video_id": cut.video_id,
            "path": clip.source.path,
            "label": cut.label,
            "start": cut.start,
            "outcome": DONE,
            "reason": "",
            "frames": 0,
            "offsets": [],
        }
        reason = error or _outside(cut, frames)
        if frames is None or reason:
            yield {**row, "outcome": QUARANTINED, "reason": reason}
            continue
        segment = frames[cut.start : cut.end]
        yield {**row, "frames": len(segment), "offsets": _append(segment, file, settings)}


def _outside(cut: Cut, frames: Frames | None) -> str:
    count = 0 if frames is None else len(frames)
    if 0 <= cut.start < (count if cut.end is None else min(cut.end, count)):
        return ""
    end = "the end" if cut.end is None else str(cut.end)
    return f"the segment '{cut.label}' from frame {cut.start} to {end} is not in the clip of {count} frames"


def _append(segment: Frames, file: BinaryIO, settings: FrameSettings) -> list[int]:
    """Write frames and, where it is kept, the backdrop; returns their offsets and the end."""
    frames = list(segment)
    if settings.backdrop:  # as `cico_model.augmentation.backdrop_of`, whose module would load PyTorch here
        frames.append(np.median(segment, axis=0).astype(np.uint8))
    offsets = [file.tell()]
    for frame in frames:
        file.write(encode_frame(frame, settings.quality))
        offsets.append(file.tell())
    return offsets
