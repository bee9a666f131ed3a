"""A picture of `cico bench search`: time, memory and disk by the number of clips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cico_platform.errors import InputError

# Told apart by shade and by marker, for eyes and printers without colour.
SIDES = {
    "ours": {"label": "three stages", "color": "#1b4965", "marker": "o"},
    "plain": {"label": "everything exactly", "color": "#c97b2a", "marker": "s"},
}


def plot_search(report: Mapping[str, Any], path: Path) -> None:
    """Draw a report's rows, logarithmic on all axes; the file's ending says the format.

    Raises
    ------
    InputError
        If nothing was measured, or matplotlib is not installed or can't write this format.
    """
    rows = [row for row in report["rows"] if "search" in row]
    if not rows:
        raise InputError("nothing was measured that could be drawn")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("a plot needs matplotlib: pip install 'cico-platform[plot]'") from error
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    panels = {"median query, ms": _time, "peak memory, MiB": _memory, "on disk, MiB": _disk}
    for axes, (title, value) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for side, style in SIDES.items():
            points = [(_clips(row), value(row, side)) for row in rows]
            axes.loglog(*zip(*points, strict=True), **style)
        axes.set(title=title, xlabel="clips")
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except ValueError as error:
        raise InputError(f"can't draw '{path}': {error}") from error


def _clips(row: Mapping[str, Any]) -> int:
    return int(row["name"].rpartition("-")[2])


def _time(row: Mapping[str, Any], side: str) -> float:
    return float(row["search"][f"{side}_p50_ms"])


def _memory(row: Mapping[str, Any], side: str) -> float:
    return float(row["peak_rss_mib"][side])


def _disk(row: Mapping[str, Any], side: str) -> float:
    return float(row["search"]["disk_mib" if side == "ours" else "tokens_mib"])
