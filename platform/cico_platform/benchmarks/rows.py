"""Rows of the result: medians, ratio, memory, difference of what two sides say."""

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_platform.benchmarks.interleave import Measured

Array = NDArray[Any]
Row = dict[str, Any]
Pairs = Iterable[tuple[Array, Array]]


def make_row(
    name: str,
    size: str,
    plain: Measured,
    ours: Measured,
    *,
    unit: str = "s",
    amounts: tuple[float, float] = (1.0, 1.0),
    difference: Callable[[], dict[str, float]] | None = None,
) -> Row:
    """One row of `cico bench --json`; what does not apply, or could not be measured, is absent.

    Parameters
    ----------
    name, size
        What is measured, and how large it is.
    plain, ours
        Both sides.
    unit
        "s" for the time of a repeat; anything else is a rate, of `amounts` a repeat.
    amounts
        What a repeat of the plain side and of ours gets done.
    difference
        Compares the outputs; called if both sides have some.

    Returns
    -------
    dict
        `ratio` above 1 means that ours is better.
    """
    row: Row = {"name": name, "size": size}
    sides = {"plain": plain, "ours": ours}
    for (side, measured), amount in zip(sides.items(), amounts, strict=True):
        if measured.seconds:
            row[side] = summary(measured.seconds, unit, amount)
    if "plain" in row and "ours" in row:
        faster, slower = ("plain", "ours") if unit == "s" else ("ours", "plain")
        row["ratio"] = round(row[faster]["median"] / row[slower]["median"], 2)
    row["memory_mib"] = {side: m.memory["extra"] for side, m in sides.items() if m.memory}
    row["peak_rss_mib"] = {side: m.memory["peak"] for side, m in sides.items() if m.memory}
    if difference and plain.outputs and ours.outputs:
        row["difference"] = difference()
    failures = {side: m.failure for side, m in sides.items() if m.failure}
    if failures:
        row["skipped"] = failures
    return row


def summary(seconds: list[float], unit: str, amount: float = 1.0) -> dict[str, Any]:
    """Median of the repeats, and each of them, as times or rates."""
    values = seconds if unit == "s" else [amount / s for s in seconds]
    return {"median": _short(median(values)), "unit": unit, "values": [_short(v) for v in values]}


def compare(values: Pairs, directions: Pairs) -> dict[str, float]:
    """How far two sides' outputs are apart.

    Parameters
    ----------
    values
        Arrays of which the largest absolute difference is told.
    directions
        Arrays [N, D] of vectors, of which the least cosine is told.
    """
    largest = max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in values)
    least = min(float(_cosines(a, b).min()) for a, b in directions)
    return {"max_abs": float(f"{largest:.3g}"), "cosine": round(least, 7)}


def _cosines(a: Array, b: Array) -> Array:
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: Array = (a * b).sum(axis=1) / np.maximum(lengths, 1e-300)
    return cosines


def _short(value: float) -> float:
    return float(f"{value:.4g}")
