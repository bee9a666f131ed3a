"""`cico bench search`: the three stages of the index beside exhaustive exact scoring, by size."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_platform.benchmarks.first_stages import compare_first_stages
from cico_platform.benchmarks.interleave import Measured, Say, Side, clear_outputs, interleave
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.rows import Row, make_row
from cico_platform.benchmarks.search_material import (
    Demo,
    choose_queries,
    read_demo,
    read_material,
    write_material,
    write_queries,
)
from cico_platform.benchmarks.search_sides import INDEX, build_index, disk_bytes
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.benchmarks.token_storages import compare_storages
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.ranking import Stages

SIDES = "cico_platform.benchmarks.search_sides"
# Clips, and queries asked of so many: exhaustive scoring of the most takes seconds each.
SIZES = {1_000: 200, 20_000: 200, 200_000: 20}
QUICK_SIZES = {200: 10, 600: 10}
# The size at which ways to find candidates are compared.
COMPARED, QUICK_COMPARED = 20_000, 600
REPEATS = 3
MIB = 1 << 20


def bench_search(
    work_dir: Path,
    settings: BenchSettings,
    say: Say,
    stages: Stages | None = None,
    sizes: tuple[int, ...] = (),
    *,
    storages: bool = False,
) -> dict[str, Any]:
    """Ask the test sentences of a finished demo, among its clips and others pieced together from them.

    Parameters
    ----------
    work_dir
        Of `cico demo`: its corpus, features and model are used.
    stages
        How many leave each stage.
    sizes
        Only these of the numbers of clips.
    storages
        Compare ways to keep tokens, too.

    Returns
    -------
    dict
        `rows`, one a size: `plain` scores every clip, `ours` goes through the stages, both in seconds a
        query; `search` has `recall@10` (the share of the exact ten that is found), percentiles of both in
        milliseconds, `build_seconds`, and `disk_mib` (the index) beside `tokens_mib` (what the plain way
        maps). `first_stages`: the share of the exact ten among so many candidates, by way to find
        them; `storages`: what is found where tokens are quantised or merged. `machine`.

    Raises
    ------
    InputError
        If the folder holds no finished demo.
    """
    demo = read_demo(work_dir)
    asked = QUICK_SIZES if settings.quick else SIZES
    compared = QUICK_COMPARED if settings.quick else COMPARED
    rows: list[Row] = []
    first_stages: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    for size, count in asked.items():
        if sizes and size not in sizes:
            continue
        with tempfile.TemporaryDirectory(prefix="cico-bench-") as name:
            folder = Path(name)
            say(f"{size} clips: writing their tokens")
            row, exact = _row(demo, size, count, folder, settings, stages or Stages(), say)
            rows.append(row)
            if size == compared and exact is not None:
                say(f"{size} clips: comparing ways to find candidates")
                material = read_material(folder, demo.model.config.embed_dim)
                first_stages = compare_first_stages(demo, material, exact, settings.seed)
                if storages:
                    say(f"{size} clips: comparing ways to keep tokens")
                    own = _own(demo, choose_queries(demo, count, settings.seed).texts)
                    kept = compare_storages(material, *exact, own, demo.model.config, stages or Stages(), say)
    return {
        "rows": rows,
        "first_stages": first_stages,
        "storages": kept,
        "stages": asdict((stages or Stages()).of(EmbeddedIndex)),
        "machine": describe_machine(settings.threads),
        "quick": settings.quick,
    }


def _row(
    demo: Demo, size: int, count: int, folder: Path, settings: BenchSettings, stages: Stages, say: Say
) -> tuple[Row, tuple[list[NDArray[np.float32]], NDArray[np.int64]] | None]:
    """A size's row, and its queries with the exact ten of each."""
    write_material(demo, size, folder, settings.seed)
    queries = choose_queries(demo, count, settings.seed)
    write_queries(queries, folder)
    material = read_material(folder, demo.model.config.embed_dim)
    seconds = build_index(material, folder, say)
    values = {"config": asdict(demo.model.config), "stages": asdict(stages)}
    task = settings.task(folder, **values)
    sides = [
        Side(f"search-{size}-{way}", f"{SIDES}:{function}", task)
        for way, function in (("plain", "exhaustive"), ("ours", "staged"))
    ]
    found = interleave(sides, settings.count(REPEATS), say)
    plain, ours = (found[side.name] for side in sides)
    row = make_row(f"search-{size}", f"{size} clips, {len(queries.texts)} sentences", plain, ours)
    exact = None
    if plain.outputs and ours.outputs:
        exact = (queries.tokens, plain.outputs["found"])
        row["search"] = {
            "recall@10": round(recall(plain.outputs["found"], ours.outputs["found"]), 4),
            **_percentiles("plain", plain),
            **_percentiles("ours", ours),
            "build_seconds": round(seconds, 1),
            "disk_mib": round(disk_bytes(folder / INDEX) / MIB, 1),
            "tokens_mib": round(material.rows.nbytes / MIB, 1),
        }
    clear_outputs(folder)
    return row, exact


def _own(demo: Demo, texts: list[str]) -> list[set[int]]:
    """Numbers of the clips that say each text; the demo's clips are the first ones."""
    said = {name: text for split in demo.texts.values() for name, text in split.items()}
    numbers: dict[str, set[int]] = {}
    for number, name in enumerate(demo.features):
        numbers.setdefault(said.get(name, ""), set()).add(number)
    return [numbers.get(text, set()) for text in texts]


def recall(exact: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Mean share of the exact ten [Q, 10] that is among those found [Q, 10].

    >>> recall(np.array([[1, 2]]), np.array([[2, 3]]))
    0.5
    """
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)]))


def _percentiles(side: str, measured: Measured) -> dict[str, float]:
    latencies = 1000 * measured.outputs["latencies"]
    return {f"{side}_p{q}_ms": float(f"{np.percentile(latencies, q):.3g}") for q in (50, 99)}
