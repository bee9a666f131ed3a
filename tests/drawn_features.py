"""Feature shards with drawn numbers, written as `cico features` writes them, and the files of a store."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.schemas.features import FEATURES_SCHEMA
from cico_platform.steps import write_json
from cico_platform.training.data.feature_store_files import FILES

DIM, CLIPS, SHARDS = 8, 30, 5
ENCODERS = ("first", "second")
Row = dict[str, object]


def row(name: str, encoder: str, values: NDArray[np.floating], starts: Sequence[int] | None = None) -> Row:
    kept = list(range(0, 3 * len(values), 3)) if starts is None else list(starts)
    flat = values.astype(np.float16).ravel()
    return {"video_id": name, "encoder_id": encoder, "window_starts": kept, "dim": DIM, "features": flat}


def drawn_rows(encoders: Sequence[str] = ENCODERS, clips: int = CLIPS, seed: int = 0) -> list[Row]:
    """Rows of clips of one to fifteen windows; their names are neither in order nor ASCII."""
    rng = np.random.default_rng(seed)
    names = [f"clip-{number:03d}-é" for number in rng.permutation(clips)]
    counts = rng.integers(1, 16, clips).tolist()
    return [
        row(name, encoder, rng.normal(size=(count, DIM)))
        for name, count in zip(names, counts, strict=True)
        for encoder in encoders
    ]


def write_shards(folder: Path, rows: Sequence[Row], shards: int = SHARDS, alpha: float = 0.8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    encoders = list(dict.fromkeys(row["encoder_id"] for row in rows))
    clips = list(dict.fromkeys(row["video_id"] for row in rows))
    for number in range(shards):
        mine = set(clips[number::shards])
        table = pa.Table.from_pylist([r for r in rows if r["video_id"] in mine], schema=FEATURES_SCHEMA)
        pq.write_table(table, folder / f"part-{number:05d}.parquet")
    about = {"encoders": [{"id": name, "path": "none"} for name in encoders], "alpha": alpha, "dim": DIM}
    write_json(folder / INFO_FILE, about)
    return folder


def content(store: Path) -> dict[str, bytes]:
    return {name: (store / name).read_bytes() for name in FILES}
