"""Costs of a reproduction for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cico_platform.reproduce.costs import SEGMENTS_A_CLIP, RecipeCosts, StepCost

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("device-hours", "decoding\ncore-hours", "disk,\nGiB", "while it\nruns, GiB", "rate")
Listed = Sequence[tuple[str, str, StepCost]]


def costs_table(title: str, costs: RecipeCosts, steps: Listed | None = None) -> "Table":
    """A row for each step.

    Parameters
    ----------
    steps
        Title, state and costs of each step; None lists those of the costs by their names.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    listed = steps or [(cost.name, "", cost) for cost in costs.steps]
    shown = Table("step", "", title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for name, state, cost in listed:
        hours = (cost.device_hours, cost.decoding_core_hours)
        figures = (*hours, cost.disk_gib, cost.while_it_runs_gib)
        shown.add_row(name, state, *(f"{figure:,g}" if figure else "" for figure in figures), cost.basis)
    total = (f"{costs.device_hours:,g}", "", f"{costs.disk_gib:,g}", "", "")
    shown.add_row("all", "", *total, style="bold")
    shown.caption, shown.caption_justify = _caption(costs), "left"
    return shown


def _caption(costs: RecipeCosts) -> str:
    rate = costs.rate
    segments = (
        f"{costs.segments:,} mined segments"
        if costs.segments_are_counted
        else f"{costs.segments:,} segments assumed, {SEGMENTS_A_CLIP} a clip"
    )
    hours = f"{costs.device_hours / costs.devices:,.1f} hours on {costs.devices} x {rate.device}"
    return f"{hours}, {rate.windows:,.0f} windows/s each ({rate.basis}: {rate.source}); {segments}"
