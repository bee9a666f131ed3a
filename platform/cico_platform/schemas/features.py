"""Sign features as they are stored: a row for each clip and encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FEATURES_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("encoder_id", pa.string(), nullable=False),
        pa.field("window_starts", pa.list_(pa.int32()), nullable=False),
        # Begin and end of each window in turn, in seconds from the clip's start.
        pa.field("window_times", pa.list_(pa.float64())),
        pa.field("dim", pa.int32(), nullable=False),
        pa.field("features", pa.list_(pa.float16()), nullable=False),
        # Whether the clip's file breaks off in it, and whether its frames do not cover its interval.
        pa.field("truncated", pa.bool_()),
        pa.field("short", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class ClipFeatures:
    """Features of one clip by one encoder.

    Attributes
    ----------
    window_starts
        First frame of each of the W windows.
    window_times
        2 W seconds: begin and end of each window in turn.
    features
        float16 [W, F].
    """

    video_id: str
    encoder_id: str
    window_starts: Sequence[int]
    window_times: Sequence[float]
    features: NDArray[np.float16]
    truncated: bool
    short: bool


def features_table(rows: Sequence[ClipFeatures], dim: int) -> pa.Table:
    """Return rows of width `dim` as a table of `FEATURES_SCHEMA`."""
    return pa.table(features_columns(rows, dim), schema=FEATURES_SCHEMA)


def features_columns(rows: Sequence[ClipFeatures], dim: int) -> dict[str, pa.Array]:
    """Return the columns of `FEATURES_SCHEMA`; the values of all rows are joined without Python objects."""
    return {
        "video_id": pa.array([row.video_id for row in rows], pa.string()),
        "encoder_id": pa.array([row.encoder_id for row in rows], pa.string()),
        "window_starts": list_column([np.asarray(row.window_starts, np.int32) for row in rows], pa.int32()),
        "window_times": list_column([np.asarray(row.window_times, np.float64) for row in rows], pa.float64()),
        "dim": pa.array(np.full(len(rows), dim, np.int32)),
        "features": list_column([row.features.reshape(-1) for row in rows], pa.float16()),
        "truncated": pa.array([row.truncated for row in rows], pa.bool_()),
        "short": pa.array([row.short for row in rows], pa.bool_()),
    }


def list_column(values: Sequence[NDArray[np.generic]], kind: pa.DataType) -> pa.ListArray:
    """Return arrays of numbers as one column of lists."""
    ends = np.cumsum([0, *(len(each) for each in values)], dtype=np.int32)
    joined = np.concatenate(values) if len(values) else np.zeros(0, kind.to_pandas_dtype())
    return pa.ListArray.from_arrays(ends, pa.array(joined, kind))
