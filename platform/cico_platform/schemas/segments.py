"""Mined segments: signs that an encoder found in sentences, and the shards of mining."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from cico_platform.schemas.features import FEATURES_SCHEMA, ClipFeatures, features_columns

SEGMENTS_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("start_time", pa.float64(), nullable=False),
        pa.field("end_time", pa.float64(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("support", pa.float32(), nullable=False),
    ]
)
FOUND_TYPE = pa.struct(list(SEGMENTS_SCHEMA)[1:7])
# A clip's segments, and the features that `cico features` would compute with the same encoder.
MINED_SCHEMA = pa.schema(
    [
        *FEATURES_SCHEMA,
        pa.field("windows", pa.int32()),
        pa.field("kept", pa.int32()),
        pa.field("segments", pa.list_(FOUND_TYPE)),
    ]
)


@dataclass(frozen=True)
class Segment:
    """A sign in a clip of a corpus (`SEGMENTS_SCHEMA`).

    Frames `start` to `end` (exclusive), the same in seconds from the clip's start, a probability, and the
    share of the texts that bears the label out.
    """

    video_id: str
    label: str
    start: int
    end: int
    start_time: float
    end_time: float
    confidence: float
    support: float


@dataclass(frozen=True)
class FoundSegment:
    """A sign in a clip: frames `start` to `end` (exclusive), the same in seconds, and a probability."""

    label: str
    start: int
    end: int
    start_time: float
    end_time: float
    confidence: float


@dataclass(frozen=True)
class MinedClip:
    """One clip's segments: of `windows` windows, `kept` were more probable than the threshold."""

    features: ClipFeatures
    windows: int
    kept: int
    segments: Sequence[FoundSegment]


def mined_table(rows: Sequence[MinedClip], dim: int) -> pa.Table:
    """Return rows whose features have width `dim` as a table of `MINED_SCHEMA`."""
    columns = {
        **features_columns([row.features for row in rows], dim),
        "windows": pa.array(np.array([row.windows for row in rows], np.int32)),
        "kept": pa.array(np.array([row.kept for row in rows], np.int32)),
        "segments": pa.array([[asdict(s) for s in row.segments] for row in rows], pa.list_(FOUND_TYPE)),
    }
    return pa.table(columns, schema=MINED_SCHEMA)
