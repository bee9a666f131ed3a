"""The row `feature-store`: start and memory of retrieval training by the size of the corpus."""

from pathlib import Path
from typing import Any

from cico_platform.benchmarks.interleave import Measured, Say, Side, interleave
from cico_platform.benchmarks.machine import free_bytes
from cico_platform.benchmarks.rows import Row, summary
from cico_platform.benchmarks.scale.drawn_features import DIM, WINDOWS, draw_corpus
from cico_platform.benchmarks.settings import BenchSettings

SIDES = "cico_platform.benchmarks.scale.feature_store_sides"
SIZES, QUICK_SIZES = (10_000, 1_000_000), (1_000, 10_000)
EPOCHS, BATCH = 60, 64
REPEATS = 3
GIB = 1 << 30
# Beside its features, a process with all of them in memory needs room for lists of names, texts and batches.
MORE_THAN_FEATURES = 1.5


def measure(folder: Path, settings: BenchSettings, say: Say) -> Row:
    """Measure a process that trains on drawn features of the paper's width, at two sizes.

    Returns
    -------
    dict
        `resident_mib` and `first_step_s` at the larger size: memory that is not a mapped file's, beyond that
        of the libraries (it holds the model); seconds from opening the features to the end of the first step.
        `sizes` has them for each size, with `rows_per_s`, clips that become padded batches a second. `plain`
        keeps all features in memory and plans the batches of all epochs; where they do not fit, it says so.
    """
    sizes = [_size(folder, settings, say, clips) for clips in (QUICK_SIZES if settings.quick else SIZES)]
    first, last = sizes[0], sizes[-1]
    row: Row = {
        "name": "feature-store",
        "size": f"{last['clips']} clips of {WINDOWS} x {DIM}, batch {BATCH}, {EPOCHS} epochs",
        "resident_mib": last["ours"].get("resident_mib"),
        "first_step_s": last["ours"].get("first_step_s"),
        "sizes": sizes,
        "skipped": last["skipped"],
    }
    for side in ("plain", "ours"):
        if "rows_per_s" in first[side]:
            row[side] = {"median": first[side]["rows_per_s"], "unit": "rows/s"}
    if "plain" in row and "ours" in row:
        row["ratio"] = round(row["ours"]["median"] / row["plain"]["median"], 2)
    row["memory_mib"] = {
        side: first[side]["resident_mib"] for side in ("plain", "ours") if "resident_mib" in first[side]
    }
    return row


def _size(folder: Path, settings: BenchSettings, say: Say, clips: int) -> dict[str, Any]:
    say(f"feature-store: {clips} clips")
    corpus, features = draw_corpus(folder, clips)
    given = {"corpus": str(corpus), "features": str(features), "epochs": EPOCHS, "batch": BATCH}
    task = settings.task(folder, **given)
    sides = [Side(f"feature-store-{clips}-ours", f"{SIDES}:mapped", task)]
    found: dict[str, Measured] = {}
    needed = MORE_THAN_FEATURES * 2 * WINDOWS * DIM * clips
    if needed < free_bytes():
        sides.insert(0, Side(f"feature-store-{clips}-plain", f"{SIDES}:in_memory", task))
    else:
        found["plain"] = Measured(failure=f"would need about {needed / GIB:.0f} GiB")
    measured = interleave(sides, settings.count(REPEATS), say)
    found |= {name.rpartition("-")[2]: result for name, result in measured.items()}
    return {
        "clips": clips,
        **{side: _figures(found[side]) for side in ("plain", "ours")},
        "skipped": {side: result.failure for side, result in found.items() if result.failure},
    }


def _figures(measured: Measured) -> dict[str, float]:
    if not measured.outputs:
        return {}
    told = {name: round(float(measured.outputs[name]), 1) for name in ("rows_per_s", "resident_mib")}
    return {"first_step_s": summary(measured.seconds, "s")["median"], **told}
