"""What an index loses, and saves, where it keeps tokens quantised or merged."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.config import TowerConfig
from cico_platform.benchmarks.interleave import Say
from cico_platform.benchmarks.search_material import Material
from cico_platform.benchmarks.search_sides import (
    COLLECTION,
    DEPTH,
    INDEX,
    build_index,
    disk_bytes,
    open_embedded,
)
from cico_platform.encoding.texts import TextQuery
from cico_platform.index.ranking import Ranking, Stages
from cico_platform.index.token_storage import TokenStorage, merge_tokens

STORAGES = (
    TokenStorage(),
    TokenStorage("scalar"),
    TokenStorage("product"),
    TokenStorage(merge=2),
    TokenStorage(merge=4),
    TokenStorage("scalar", merge=2),
)


def compare_storages(
    material: Material,
    queries: list[NDArray[np.float32]],
    exact: NDArray[np.int64],
    own: list[set[int]],
    config: TowerConfig,
    stages: Stages,
    say: Say,
) -> list[dict[str, Any]]:
    """Ask the queries of an index in each storage.

    Parameters
    ----------
    queries
        Tokens of each, float32 [L, D].
    exact
        The exact ten of each among the tokens as they are, int [Q, 10].
    own
        The clips that say each query's text.

    Returns
    -------
    list[dict]
        `name`, `R@1` (share of queries whose first clip says their text), `recall@10` (share of the exact
        ten), `p50_ms` of a query, `disk_mib`.
    """
    found = []
    for storage in STORAGES:
        name = _name(storage)
        say(f"  tokens kept as {name}")
        with tempfile.TemporaryDirectory(prefix="cico-bench-") as made:
            folder = Path(made)
            with open_embedded(folder) as index:
                build_index(index, merged(material, storage.merge), quantization=storage.quantization)
            disk = disk_bytes(folder / INDEX)
            tops, seconds = _ask(folder, queries, config, stages)
        pairs = zip(tops, exact, strict=True)
        found.append(
            {
                "name": name,
                "R@1": _share(top[0] in mine for top, mine in zip(tops, own, strict=True)),
                "recall@10": _share(float(np.isin(best, top).mean()) for top, best in pairs),
                "p50_ms": float(f"{1000 * np.median(seconds):.3g}"),
                "disk_mib": round(disk / (1 << 20), 1),
            }
        )
    return found


def merged(material: Material, factor: int) -> Material:
    """The clips with so many neighbouring tokens as one, in memory.

    >>> rows = np.eye(4, dtype=np.float16)
    >>> merged(Material(rows, np.array([3, 1])), 2).lengths
    array([2, 1])
    """
    if factor == 1:
        return material
    ends = np.cumsum(material.lengths)
    clips = [
        merge_tokens(tokens, list(range(len(tokens))), factor)[0]
        for tokens in np.split(np.asarray(material.rows), ends[:-1])
    ]
    return Material(np.concatenate(clips), np.array([len(tokens) for tokens in clips]))


def _ask(
    folder: Path, queries: list[NDArray[np.float32]], config: TowerConfig, stages: Stages
) -> tuple[list[list[int]], list[float]]:
    """The first ten of each query, and the seconds of each."""
    tops, seconds = [], []
    with open_embedded(folder, must_exist=True) as index:
        ranking = Ranking(index, COLLECTION, config, stages)
        for tokens in queries:
            began = time.perf_counter()
            ranked = ranking.by_text(TextQuery(tokens, []), DEPTH)
            seconds.append(time.perf_counter() - began)
            tops.append([int(one.hit.video_id) for one in ranked])
    return tops, seconds


def _name(storage: TokenStorage) -> str:
    quantized = "" if storage.quantization == "none" else storage.quantization
    merge = f"{storage.merge} merged" if storage.merge > 1 else ""
    return ", ".join(filter(None, [quantized, merge])) or "half precision"


def _share(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)
