"""The row `driver`: what the process that runs a pipeline does for each clip, and how long it starts."""

from pathlib import Path
from typing import Any

import numpy as np

from cico_platform.benchmarks.interleave import Measured, Say, Side, interleave
from cico_platform.benchmarks.rows import Row
from cico_platform.benchmarks.scale.drawn_manifest import draw_manifest
from cico_platform.benchmarks.settings import BenchSettings

SIDES, NAME = "cico_platform.benchmarks.scale.driver_sides", "driver"
# The paper's: windows of a clip and their width, by two encoders.
WINDOWS, DIM, ENCODERS = 64, 1024, 2
SIZES, QUICK_SIZES = (1_000, 4_000, 12_000), (64, 128)
STARTS, QUICK_STARTS = (10_000, 100_000, 1_000_000), (1_000, 10_000)
FIGURES = ("cpu_s", "bytes", "first_s", "resident_mib")


def measure(folder: Path, settings: BenchSettings, say: Say) -> Row:
    """Measure `cico features` with random features in place of encoders and no frames.

    Returns
    -------
    dict
        `driver_ms_per_clip`: CPU time of the driver at the largest size, of everything from the manifest to
        the finished folder. `bytes_per_clip`: what workers send it. `fit`: the line through the sizes, with
        `ms_per_clip` and `start_s`, what does not depend on the clips. `plain` sends all features to the
        driver, which writes them. `starts`: seconds from the manifest to the first stored batch (Ray runs
        already) by rows of the manifest, with `resident_mib`, memory of the driver that is no file's.
    """
    quick = settings.quick
    sizes = [_size(folder, settings, say, clips) for clips in (QUICK_SIZES if quick else SIZES)]
    starts = [_start(folder, settings, say, rows) for rows in (QUICK_STARTS if quick else STARTS)]
    last = sizes[-1]
    row: Row = {
        "name": NAME,
        "size": f"{last['clips']} clips, {ENCODERS} encoders, {WINDOWS} x {DIM}",
        "sizes": sizes,
        "starts": starts,
        "skipped": {**last["skipped"], **starts[-1]["skipped"]},
    }
    for side in ("plain", "ours"):
        if last[side]:
            row[side] = {"median": last[side]["driver_ms_per_clip"], "unit": "ms"}
    if last["ours"]:
        row["driver_ms_per_clip"] = last["ours"]["driver_ms_per_clip"]
        row["bytes_per_clip"] = last["ours"]["bytes_per_clip"]
        row["fit"] = _fit([(each["clips"], each["ours"]["driver_s"]) for each in sizes if each["ours"]])
    if last["ours"] and last["plain"]:
        row["ratio"] = round(last["plain"]["driver_ms_per_clip"] / last["ours"]["driver_ms_per_clip"], 2)
    return row


def _fit(points: list[tuple[int, float]]) -> dict[str, float]:
    """The line through seconds of sizes."""
    if len(points) < 2:
        return {}
    clips, seconds = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    slope, start = np.polyfit(clips, seconds, 1)
    return {"ms_per_clip": round(1000 * float(slope), 4), "start_s": round(float(start), 3)}


def _size(folder: Path, settings: BenchSettings, say: Say, clips: int) -> dict[str, Any]:
    say(f"{NAME}: {clips} clips")
    corpus = draw_manifest(folder / f"corpus-{clips}", clips)
    task = settings.task(
        folder, corpus=str(corpus), windows=WINDOWS, dim=DIM, encoders=ENCODERS, only_start=False
    )
    found = interleave(
        [Side(f"{NAME}-{clips}-{side}", f"{SIDES}:{side}", task) for side in ("plain", "ours")], 1, say
    )
    by_side = {name.rpartition("-")[2]: result for name, result in found.items()}
    return {
        "clips": clips,
        **{side: _per_clip(by_side[side], clips) for side in ("plain", "ours")},
        "skipped": {side: result.failure for side, result in by_side.items() if result.failure},
    }


def _per_clip(measured: Measured, clips: int) -> dict[str, float]:
    if not measured.outputs:
        return {}
    told = {name: float(measured.outputs[name]) for name in FIGURES}
    return {
        "driver_ms_per_clip": round(1000 * told["cpu_s"] / clips, 4),
        "driver_s": round(told["cpu_s"], 3),
        "bytes_per_clip": round(told["bytes"] / clips, 1),
        "clips_per_s": round(clips / measured.seconds[-1], 1),
        "resident_mib": told["resident_mib"],
    }


def _start(folder: Path, settings: BenchSettings, say: Say, rows: int) -> dict[str, Any]:
    say(f"{NAME}: the start with a manifest of {rows} rows")
    corpus = draw_manifest(folder / f"manifest-{rows}", rows)
    task = settings.task(
        folder, corpus=str(corpus), windows=WINDOWS, dim=DIM, encoders=ENCODERS, only_start=True
    )
    side = f"{NAME}-start-{rows}-ours"
    (measured,) = interleave([Side(side, f"{SIDES}:ours", task)], 1, say).values()
    found: dict[str, Any] = {"rows": rows, "skipped": {"ours": measured.failure} if measured.failure else {}}
    if measured.outputs:
        found["first_batch_s"] = round(float(measured.outputs["first_s"]), 1)
        found["resident_mib"] = float(measured.outputs["resident_mib"])
    return found
