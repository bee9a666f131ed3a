"""The row `index-building`: an index of drawn clips, built by one worker and by two."""

from pathlib import Path

from cico_platform.benchmarks.interleave import Measured, Say, Side, interleave
from cico_platform.benchmarks.rows import Row, make_row
from cico_platform.benchmarks.scale.drawn_index_inputs import TOKEN_DIM, WINDOWS, draw_inputs
from cico_platform.benchmarks.settings import BenchSettings

NAME, SIDE = "index-building", "cico_platform.benchmarks.scale.index_building_sides:build"
CLIPS, QUICK_CLIPS = 100_000, 1_500
WORKERS = (1, 2)


def measure(folder: Path, settings: BenchSettings, say: Say) -> Row:
    """Measure `cico index` from stored features to a collection that is live, each side once.

    Returns
    -------
    dict
        `plain` is one worker, `ours` two, each with one thread where the node has up to seven cores. Under
        `sides`, each has: `seconds` in all; `first_s` and `filled_s`, until the first and the last clip is
        written (what follows is the engine's graph, canary queries and calibration); `driver_cpu_s` and
        `resident_mib` of the calling process. `filling_ratio` compares the time from the first to the last
        clip.
    """
    clips = settings.size or (QUICK_CLIPS if settings.quick else CLIPS)
    say(f"{NAME}: {clips} clips are drawn")
    inputs = draw_inputs(folder, clips, settings.seed)._asdict()
    given = {name: str(path) for name, path in inputs.items()} | {"server": settings.server}
    sides = [
        Side(f"{NAME}-{workers}", SIDE, settings.task(folder, workers=workers, **given))
        for workers in WORKERS
    ]
    one, two = interleave(sides, settings.count(1), say).values()
    engine = "a server" if settings.server else "an embedded index"
    row = make_row(NAME, f"{clips} clips of {WINDOWS} x {TOKEN_DIM}, {engine}", one, two)
    row["sides"] = {str(workers): _figures(side) for workers, side in zip(WORKERS, (one, two), strict=True)}
    if one.outputs and two.outputs:
        row["filling_ratio"] = round(_filling(one) / _filling(two), 2)
    return row


def _filling(side: Measured) -> float:
    return float(side.outputs["filled_s"] - side.outputs["first_s"])


def _figures(side: Measured) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in side.outputs.items()}
