"""Tokens as they are stored: a row for each clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.schemas.features import list_column

TOKENS_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("window_starts", pa.list_(pa.int32())),
        pa.field("window_times", pa.list_(pa.float64())),
        # float16 [W, dim], one token a window.
        pa.field("tokens", pa.large_binary()),
        pa.field("dim", pa.int32()),
    ]
)


@dataclass(frozen=True)
class ClipTokens:
    """Tokens of one clip.

    Attributes
    ----------
    window_starts
        int32 [W]: first frame of each window.
    window_times
        float64 [W, 2] or [0, 2]: begin and end of each window in seconds, where they are known.
    tokens
        float16 [W, D]: one a window, no class token, no padding.
    """

    video_id: str
    window_starts: NDArray[np.int32]
    window_times: NDArray[np.float64]
    tokens: NDArray[np.float16]


def tokens_table(rows: Sequence[ClipTokens]) -> pa.Table:
    """Return the rows as a table of `TOKENS_SCHEMA`."""
    columns = {
        "video_id": pa.array([row.video_id for row in rows], pa.string()),
        "window_starts": list_column([row.window_starts.astype(np.int32) for row in rows], pa.int32()),
        "window_times": list_column([row.window_times.reshape(-1) for row in rows], pa.float64()),
        "tokens": pa.array([row.tokens.astype(np.float16).tobytes() for row in rows], pa.large_binary()),
        "dim": pa.array(np.array([row.tokens.shape[1] for row in rows], np.int32)),
    }
    return pa.table(columns, schema=TOKENS_SCHEMA)


def clip_tokens(table: pa.Table) -> list[ClipTokens]:
    """Return the rows of a table of `TOKENS_SCHEMA`."""
    rows = []
    columns = (table[name] for name in TOKENS_SCHEMA.names)
    for name, starts, times, tokens, dim in zip(*columns, strict=True):
        flat = np.frombuffer(tokens.as_buffer(), dtype=np.float16)
        rows.append(
            ClipTokens(
                name.as_py(),
                np.asarray(starts.values, dtype=np.int32),
                np.asarray(times.values, dtype=np.float64).reshape(-1, 2),
                flat.reshape(-1, dim.as_py()),
            )
        )
    return rows
