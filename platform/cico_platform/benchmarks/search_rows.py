"""A row of `cico bench search`: one number of clips, scored exhaustively and searched through the stages."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.config import TowerConfig
from cico_platform.benchmarks.interleave import Measured, Say, Side, clear_outputs, interleave
from cico_platform.benchmarks.rows import Row, make_row
from cico_platform.benchmarks.search_material import Material
from cico_platform.benchmarks.search_sides import (
    INDEX,
    TOKENS,
    build_index,
    disk_bytes,
    open_embedded,
    open_server,
    remove_index,
)
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.index.base import VectorIndex

SIDES = "cico_platform.benchmarks.search_sides"
REPEATS = 3
# From so many clips on, everything is measured once.
ONCE = 500_000
MIB = 1 << 20


@dataclass(frozen=True)
class SizeRow:
    """Measurement of one row.

    Attributes
    ----------
    name
        Of the row.
    config
        How tokens are compared.
    stages
        Fields of `ranking.Stages`.
    exact
        How many of the queries are scored exhaustively.
    url
        Of a Qdrant server; without it the index is embedded.
    """

    name: str
    config: TowerConfig
    stages: dict[str, Any]
    exact: int
    url: str = ""


def measure_size(
    row: SizeRow, material: Material, folder: Path, settings: BenchSettings, say: Say
) -> tuple[Row, NDArray[np.int64] | None]:
    """Build an index of the clips, ask it the queries that lie in the folder, and remove it.

    Returns
    -------
    tuple
        The row, and the exact ten of the first queries, int [Q, 10], if they could be found. Its `search`
        has `recall@10` (the mean share of the exact ten that is found), `candidates` of a search, percentiles
        of both sides in milliseconds, `build_seconds`, `ready_s` (opening the index until the first answer),
        `own_mib` (memory of the searching process that is no file's), `disk_mib` (the index) beside
        `tokens_mib` (what the plain way maps), and of a server `bytes_per_search`.
    """
    count = len(material.lengths)
    with _open(row, folder) as index:
        seconds = build_index(index, material, say)
    disk = disk_bytes(folder / (TOKENS if row.url else INDEX))
    try:
        task = settings.task(
            folder, config=asdict(row.config), stages=row.stages, exact=row.exact, url=row.url
        )
        sides = [
            Side(f"{row.name}-{way}", f"{SIDES}:{function}", task)
            for way, function in (("plain", "exhaustive"), ("ours", "staged"))
        ]
        found = interleave(sides, settings.count(REPEATS if count < ONCE else 1), say)
    finally:
        with _open(row, folder) as index:
            remove_index(index)
    plain, ours = (found[side.name] for side in sides)
    made = make_row(row.name, f"{count} clips", plain, ours)
    if not plain.outputs or not ours.outputs:
        return made, None
    exact: NDArray[np.int64] = plain.outputs["found"]
    made["search"] = {
        "recall@10": round(recall(exact, ours.outputs["found"][: len(exact)]), 4),
        "exact_queries": len(exact),
        "candidates": int(ours.outputs["candidates"]),
        **_percentiles("plain", plain),
        **_percentiles("ours", ours),
        "build_seconds": round(seconds, 1),
        "ready_s": round(float(ours.outputs["ready"]), 3),
        "own_mib": round(float(ours.outputs["own_mib"]), 1),
        "disk_mib": round(disk / MIB, 1),
        "tokens_mib": round(material.rows.nbytes / MIB, 1),
    }
    if row.url:
        made["search"]["bytes_per_search"] = int(np.mean(ours.outputs["bytes"]))
    clear_outputs(folder)
    return made, exact


def recall(exact: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Mean share of the exact ten [Q, 10] that is among those found [Q, 10].

    >>> recall(np.array([[1, 2]]), np.array([[2, 3]]))
    0.5
    """
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)]))


def _open(row: SizeRow, folder: Path) -> VectorIndex:
    return open_server(row.url, folder) if row.url else open_embedded(folder)


def _percentiles(side: str, measured: Measured) -> dict[str, float]:
    latencies = 1000 * measured.outputs["latencies"]
    return {f"{side}_p{q}_ms": float(f"{np.percentile(latencies, q):.3g}") for q in (50, 99)}
