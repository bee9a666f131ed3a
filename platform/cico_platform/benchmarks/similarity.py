"""`cico bench similarity`: training and scoring with the fine-grained similarity beside the plain way."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from cico_platform.benchmarks.interleave import Measured, Say, Side, interleave
from cico_platform.benchmarks.machine import GIB, describe_machine, free_bytes
from cico_platform.benchmarks.plain import checkout
from cico_platform.benchmarks.rows import Row, compare, make_row, summary
from cico_platform.benchmarks.settings import BenchSettings, Task
from cico_platform.benchmarks.similarity_sides import TEXT_TOKENS, VIDEO_TOKENS, draw_test_set

SIDES = "cico_platform.benchmarks.similarity_sides"
STEP_SIDES = "cico_platform.benchmarks.step_sides"
TRAINING_REPEATS = 7
LARGE_REPEATS = 3
SCORING_REPEATS = 3
# The plain way is not tried where it would take more of the free memory than this.
MOST_OF_MEMORY = 0.9
FULL = {"width": 512, "small": 128, "large": 512, "videos": 2348, "texts": 1969, "part": 256, "piece": 64}
QUICK = {"width": 64, "small": 16, "large": 32, "videos": 160, "texts": 120, "part": 64, "piece": 8}


def bench_similarity(settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Measure similarity and loss.

    Returns
    -------
    dict
        `rows`: `training-128`, `training-512` (seconds for forward and backward), `scoring` (pairs/s, with
        its `roofline`), `two-pass-512` (seconds for the gradients of both towers); `machine`.

    Raises
    ------
    InputError
        If this is no checkout.
    """
    checkout()
    sizes = QUICK if settings.quick else FULL
    with tempfile.TemporaryDirectory(prefix="cico-bench-") as name:
        folder = Path(name)
        small = _training("training-128", sizes["small"], sizes, folder, settings, say)
        growth = (sizes["large"] / sizes["small"]) ** 2
        plain_needs = small["memory_mib"].get("plain", 0.0) * growth / 1024
        large = _training("training-512", sizes["large"], sizes, folder, settings, say, plain_needs)
        scoring = _scoring(sizes, folder, settings, say)
        step = _two_passes(sizes, folder, settings, say)
    return {
        "rows": [small, large, scoring, step],
        "machine": describe_machine(settings.threads, settings.device),
        "quick": settings.quick,
    }


def _training(
    name: str,
    batch: int,
    sizes: dict[str, int],
    folder: Path,
    settings: BenchSettings,
    say: Say,
    plain_needs: float = 0.0,
) -> Row:
    say(f"{name}: forward and backward of {batch} pairs")
    values = {"batch": batch, "width": sizes["width"]}
    task = settings.task(folder, **values)
    sides = [Side("plain", f"{SIDES}:plain_training", task), Side("ours", f"{SIDES}:our_training", task)]
    free = free_bytes(settings.device) / GIB
    unable = ""
    if plain_needs > MOST_OF_MEMORY * free:
        unable = f"would need about {plain_needs:.1f} GiB, {free:.1f} GiB are free"
        say(f"  plain: {unable}")
        sides = sides[1:]
    repeats = settings.count(LARGE_REPEATS if plain_needs else TRAINING_REPEATS)
    found = interleave(sides, repeats, say)
    plain, ours = found.get("plain", Measured(failure=unable)), found["ours"]
    size = f"batch {batch}, {VIDEO_TOKENS} x {TEXT_TOKENS} tokens, width {sizes['width']}"
    return make_row(name, size, plain, ours, difference=partial(_gradients, plain, ours))


def _scoring(sizes: dict[str, int], folder: Path, settings: BenchSettings, say: Say) -> Row:
    videos, texts, part = sizes["videos"], sizes["texts"], sizes["part"]
    say(f"scoring: {texts} texts with {videos} videos (the plain way, and the bare products: {part} videos)")
    values = {"videos": videos, "texts": texts, "part": part, "width": sizes["width"]}
    task = settings.task(folder, **values)
    names = {"plain": "plain_scoring", "products": "bare_products", "ours": "our_scoring"}
    sides = [Side(name, f"{SIDES}:{function}", task) for name, function in names.items()]
    found = interleave(sides, settings.count(SCORING_REPEATS), say)
    plain, ours = found["plain"], found["ours"]
    row = make_row(
        "scoring",
        f"{texts} texts x {videos} videos, width {sizes['width']}; plain: {part} of the videos",
        plain,
        ours,
        unit="pairs/s",
        amounts=(part * texts, videos * texts),
        difference=partial(_scores, plain, ours, part),
    )
    if ours.seconds and found["products"].seconds:
        row["roofline"] = _roofline(found["products"], ours, task)
    return row


def _two_passes(sizes: dict[str, int], folder: Path, settings: BenchSettings, say: Say) -> Row:
    """A step of both towers: the whole batch at once, and a piece at a time."""
    batch, piece, towers = sizes["large"], sizes["piece"], "tiny" if settings.quick else "small"
    say(f"two-pass-512: gradients of the towers for {batch} pairs, ours {piece} pairs at a time")
    values = {"batch": batch, "piece": piece, "towers": towers}
    task = settings.task(folder, **values)
    sides = [Side("plain", f"{STEP_SIDES}:plain_step", task), Side("ours", f"{STEP_SIDES}:our_step", task)]
    found = interleave(sides, settings.count(LARGE_REPEATS), say)
    plain, ours = found["plain"], found["ours"]
    size = f"batch {batch}, '{towers}' towers; ours: {piece} pairs at a time"
    return make_row("two-pass-512", size, plain, ours, difference=partial(_relative, plain, ours))


def _roofline(products: Measured, ours: Measured, task: Task) -> dict[str, Any]:
    """What the multiplication of all padded tokens costs, and ours beside it."""
    videos, texts, part = (task.values[name] for name in ("videos", "texts", "part"))
    width = task.values["width"]
    _, _, video_valid, text_valid = draw_test_set(task)
    video_places, text_places = videos * VIDEO_TOKENS, texts * TEXT_TOKENS
    operations = 2 * video_places * text_places * width
    moved = 4 * ((video_places + text_places) * width + videos * texts)
    bare = summary(products.seconds, "pairs/s", part * texts)
    rate = bare["median"] / (videos * texts)
    used = int(video_valid.sum()) * int(text_valid.sum()) / (video_places * text_places)
    whole = summary(ours.seconds, "s")
    return {
        "operations": operations,
        "bytes": moved,
        "operations_per_byte": round(operations / moved),
        "machine_gflops": round(operations * rate / 1e9, 1),
        "bare_products": {"median": round(1 / rate, 3), "unit": "s"},
        "ours": whole,
        "times_bare_products": round(whole["median"] * rate, 3),
        "share_not_padding": round(used, 3),
    }


def _gradients(plain: Measured, ours: Measured) -> dict[str, float]:
    pairs = {name: (plain.outputs[name], ours.outputs[name]) for name in ours.outputs}
    flat = [(a.reshape(1, -1), b.reshape(1, -1)) for name, (a, b) in pairs.items() if name != "loss"]
    return compare(pairs.values(), flat)


def _relative(plain: Measured, ours: Measured) -> dict[str, float]:
    """`_gradients`, and the largest difference as a part of the largest gradient."""
    found, largest = _gradients(plain, ours), float(abs(plain.outputs["gradient"]).max())
    apart = float(abs(plain.outputs["gradient"] - ours.outputs["gradient"]).max())
    return {**found, "relative": float(f"{apart / largest:.3g}")}


def _scores(plain: Measured, ours: Measured, part: int) -> dict[str, float]:
    pair = (plain.outputs["scores"], ours.outputs["scores"][:part])
    return compare([pair], [pair])
