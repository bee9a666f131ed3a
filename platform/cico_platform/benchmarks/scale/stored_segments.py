"""A sample store of any number of segments for measurements: a few real ones stand for all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.schemas.ledger import DONE
from cico_platform.training.data.cuts import FrameSettings
from cico_platform.training.data.frame_codec import encode_frame
from cico_platform.training.data.sample_index import write_index
from cico_platform.training.data.sample_ledger import FRAMES_SUFFIX, LEDGER_SCHEMA, Ledger

SHARD, LABELS = "segments", 1000


def write_segments(
    folder: Path, segments: Sequence[NDArray[np.uint8]], samples: int, settings: FrameSettings
) -> int:
    """Write a store whose index has `samples` rows; sample i has the frames of segment i modulo their number.

    Parameters
    ----------
    segments
        Each uint8 [N, S, S, 3], all of the same length N.

    Returns
    -------
    int
        Bytes of the stored frames of all segments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count, position = len(segments[0]), 0
    offsets = np.empty((len(segments), count + 1), np.int64)
    with (folder / f"{SHARD}{FRAMES_SUFFIX}").open("wb") as file:
        for row, segment in zip(offsets, segments, strict=True):
            row[0] = position
            for number, frame in enumerate(segment):
                position += file.write(encode_frame(frame, settings.quality))
                row[number + 1] = position
    chosen = offsets[np.arange(samples) % len(segments)]
    ends = np.arange(samples + 1, dtype=np.int32) * (count + 1)
    columns = {
        "video_id": pa.array([f"clip-{number:07d}" for number in range(samples)]),
        "path": pa.array([""] * samples),
        "label": pa.array([f"sign-{number % LABELS}" for number in range(samples)]),
        "start": pa.array(np.zeros(samples, np.int32)),
        "outcome": pa.array([DONE] * samples),
        "reason": pa.array([""] * samples),
        "frames": pa.array(np.full(samples, count, np.int32)),
        "offsets": pa.ListArray.from_arrays(ends, chosen.reshape(-1)),
    }
    rows = pa.table(columns).cast(LEDGER_SCHEMA)
    write_index(folder, f"{samples} samples", [Ledger(SHARD, rows, position)], settings)
    return position
