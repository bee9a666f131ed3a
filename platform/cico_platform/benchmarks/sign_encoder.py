"""`cico bench sign-encoder`: windows, features and mining beside the published network."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from cico_platform.benchmarks.interleave import Measured, Say, Side, interleave
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.material import VIDEO_FRAMES, Material, prepare_material
from cico_platform.benchmarks.plain import checkout
from cico_platform.benchmarks.rows import Row, compare, make_row
from cico_platform.benchmarks.settings import BenchSettings, Task

PRECISIONS = {"cpu": ("float32", "bfloat16", "int8"), "cuda": ("float32", "bfloat16")}
WINDOW_REPEATS = 7
VIDEO_REPEATS = 3
SIDES = "cico_platform.benchmarks.encoder_sides"


def bench_sign_encoder(settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Measure the sign encoder.

    Returns
    -------
    dict
        `rows`: `float32`, `bfloat16`, on a CPU `int8` and on a GPU `frames-175` (windows/s); `features-175`,
        `mining-175` (seconds a video, from file to result); `machine`; `input`.

    Raises
    ------
    InputError
        If this is no checkout, or the videos or the encoder cannot be used.
    """
    checkout()
    with tempfile.TemporaryDirectory(prefix="cico-bench-") as name:
        folder = Path(name)
        say("making the network, the windows and the video ...")
        material = prepare_material(folder, settings)
        rows = _windows(folder, material, settings, say)
        if settings.device == "cuda":
            rows.append(_frames(folder, material, settings, say))
        rows += _video(folder, material, settings, say)
    return {
        "rows": rows,
        "machine": describe_machine(settings.threads, settings.device),
        "input": material.source,
        "quick": settings.quick,
    }


def _task(folder: Path, material: Material, settings: BenchSettings, **values: Any) -> Task:
    config = material.config
    known = {"width": config.width, "frame_size": config.frame_size, "resize": config.resize}
    return settings.task(folder, **known, **values)


def _windows(folder: Path, material: Material, settings: BenchSettings, say: Say) -> list[Row]:
    count, precisions = material.windows, PRECISIONS[settings.device]
    say(f"windows: plain and {', '.join(precisions)}, {count} windows a repeat")
    sides = [Side("plain", f"{SIDES}:plain_windows", _task(folder, material, settings))]
    for precision in precisions:
        task = _task(folder, material, settings, precision=precision)
        sides.append(Side(precision, f"{SIDES}:our_windows", task))
    found = interleave(sides, settings.count(WINDOW_REPEATS), say)
    frame = material.config.frame_size
    return [
        make_row(
            name,
            f"{count} windows of 16 x {frame} x {frame}",
            found["plain"],
            found[name],
            unit="windows/s",
            amounts=(count, count),
            difference=partial(_difference, found["plain"], found[name]),
        )
        for name in precisions
    ]


def _frames(folder: Path, material: Material, settings: BenchSettings, say: Say) -> Row:
    """Where a GPU computes, decoding takes longer: what it does with frames that are there."""
    say(f"all windows of {VIDEO_FRAMES} decoded frames: plain, ours")
    task = _task(folder, material, settings)
    sides = [
        Side("plain-frames", f"{SIDES}:plain_frames", task),
        Side("frames-175", f"{SIDES}:our_frames", task),
    ]
    found = interleave(sides, settings.count(WINDOW_REPEATS), say)
    plain, ours = found["plain-frames"], found["frames-175"]
    count = _count(plain)
    return make_row(
        "frames-175",
        f"all {count} windows of {VIDEO_FRAMES} decoded frames, bfloat16",
        plain,
        ours,
        unit="windows/s",
        amounts=(count, count),
        difference=partial(_difference, plain, ours),
    )


def _video(folder: Path, material: Material, settings: BenchSettings, say: Say) -> list[Row]:
    say(f"a video of {VIDEO_FRAMES} frames, file to result: plain, features, mining")
    task = _task(folder, material, settings)
    sides = [
        Side("plain-video", f"{SIDES}:plain_video", task),
        Side("features-175", f"{SIDES}:our_features", task),
        Side("mining-175", f"{SIDES}:our_mining", task),
    ]
    found = interleave(sides, settings.count(VIDEO_REPEATS), say)
    plain = found["plain-video"]
    return [
        make_row(
            name,
            f"{VIDEO_FRAMES} frames, {_count(found[name])} of {_count(plain)} windows, bfloat16",
            plain,
            found[name],
            difference=partial(_difference, plain, found[name]),
        )
        for name in ("features-175", "mining-175")
    ]


def _count(side: Measured) -> int:
    return len(side.outputs.get("embedding", ()))


def _difference(plain: Measured, ours: Measured) -> dict[str, float]:
    chosen = ours.outputs.get("starts", slice(None))
    pairs = {name: (plain.outputs[name][chosen], a) for name, a in ours.outputs.items() if name != "starts"}
    return compare(pairs.values(), [pairs["embedding"]])
