"""`cico plan`: what a corpus costs, on paper."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from cico_platform.pipelines.device_rates import Rate
    from cico_platform.reproduce.costs import RecipeCosts


def plan(
    step: Annotated[
        Literal["features", "mine", "how2sign", "phoenix2014t", "csl-daily"],
        typer.Argument(
            help="features: at most 64 windows a clip; mine: every window; a corpus: all that "
            "'cico reproduce' does."
        ),
    ],
    hours: Annotated[
        float | None, typer.Option("--hours", min=0.01, help="Hours of video, of features and mine.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="cpu, v100, t4, a10, l4, l40s, a100, h100 or h200.")
    ] = "cpu",
    devices: Annotated[int, typer.Option("--devices", min=1, help="How many of them.")] = 1,
    encoders: Annotated[
        int, typer.Option(min=1, max=2, help="Sign encoders whose features are mixed; mining takes one.")
    ] = 2,
    clip_seconds: Annotated[float, typer.Option(min=0.04, help="Mean length of a clip.")] = 7.0,
    fps: Annotated[float, typer.Option(min=1, help="Frames a second.")] = 25.0,
    bench: Annotated[
        Path | None,
        typer.Option("--bench", help="What 'cico bench sign-encoder --json' printed on your device."),
    ] = None,
    precision: Annotated[str, typer.Option(help="The row of that bench: float32, bfloat16 or int8.")] = (
        "bfloat16"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Tell what a corpus costs before it is begun: windows, device-hours, disk."""
    from cico_platform.cli.output import console, emit
    from cico_platform.cli.progress import make_settings
    from cico_platform.errors import InputError
    from cico_platform.pipelines.device_rates import bench_rate, device_rate
    from cico_platform.pipelines.plan import PlanSettings
    from cico_platform.pipelines.plan import plan as make_plan

    rate = device_rate(device) if bench is None else bench_rate(bench, precision)
    if step != "features" and step != "mine":
        costs = _recipe_costs(step, rate, devices)
        emit(json, {"step": step, **costs.as_json()})
        return
    if hours is None:
        raise InputError(f"'cico plan {step}' needs --hours: the hours of video")
    settings = make_settings(
        PlanSettings, hours=hours, clip_seconds=clip_seconds, fps=fps, encoders=encoders, devices=devices
    )
    found = make_plan(step, settings, rate)
    console.print(_table(found, f"{step}: {hours:g} hours of video", rate))
    emit(json, found)


def _recipe_costs(name: str, rate: "Rate", devices: int) -> "RecipeCosts":
    """Costs of a recipe of the published size, which are printed."""
    from cico_platform.cli.output import console
    from cico_platform.reproduce.costs import recipe_costs
    from cico_platform.reproduce.costs_table import costs_table
    from cico_platform.reproduce.recipes import find_recipe
    from cico_platform.reproduce.settings import ReproduceSettings

    recipe = find_recipe(name)
    costs = recipe_costs(recipe, ReproduceSettings.of(recipe), rate, devices)
    console.print(costs_table(f"{recipe.title}, as published", costs))
    return costs


def _table(found: dict[str, Any], title: str, rate: "Rate") -> "Table":
    from rich.table import Table

    table = Table(title=title, show_header=False, box=None)
    table.add_row("clips", f"{found['clips']:,}")
    table.add_row("windows to encode", f"{found['windows']:,}")
    table.add_row("device", f"{found['devices']} x {found['device']}")
    table.add_row("windows/s of each", f"{found['windows_per_second']:,} ({rate.basis}: {rate.source})")
    table.add_row("device-hours", f"{found['device_hours']:,}")
    table.add_row("hours until it is done", f"{found['hours']:,}")
    table.add_row("cores that decode, a device", f"{found['cores_per_device']}")
    table.add_row("disk", f"{found['disk_gib']:,} GiB")
    return table
