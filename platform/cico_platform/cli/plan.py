"""`cico plan`: what a corpus costs, on paper."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Tell what a corpus costs before it is begun: windows, device-hours, disk.", no_args_is_help=True
)

Hours = Annotated[float, typer.Option("--hours", min=0.01, help="Hours of video, all clips together.")]
Device = Annotated[str, typer.Option("--device", help="cpu, v100, t4, a10, l4, l40s, a100, h100 or h200.")]
Devices = Annotated[int, typer.Option("--devices", min=1, help="How many of them.")]
Bench = Annotated[
    Path | None,
    typer.Option("--bench", help="What 'cico bench sign-encoder --json' printed on your device."),
]
Precision = Annotated[str, typer.Option(help="The row of that bench: float32, bfloat16 or int8.")]
ClipSeconds = Annotated[float, typer.Option(min=0.04, help="Mean length of a clip.")]
Fps = Annotated[float, typer.Option(min=1, help="Frames a second.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@app.command("features")
def features(
    hours: Hours,
    device: Device = "cpu",
    devices: Devices = 1,
    encoders: Annotated[int, typer.Option(min=1, max=2, help="Sign encoders that are mixed.")] = 2,
    clip_seconds: ClipSeconds = 7.0,
    fps: Fps = 25.0,
    bench: Bench = None,
    precision: Precision = "bfloat16",
    json: Json = False,
) -> None:
    """Extracting features: at most 64 windows a clip, by each encoder."""
    values = {"hours": hours, "devices": devices, "encoders": encoders, "clip_seconds": clip_seconds}
    _tell("features", {**values, "fps": fps}, device, bench, precision, json)


@app.command("mine")
def mine(
    hours: Hours,
    device: Device = "cpu",
    devices: Devices = 1,
    clip_seconds: ClipSeconds = 7.0,
    fps: Fps = 25.0,
    bench: Bench = None,
    precision: Precision = "bfloat16",
    json: Json = False,
) -> None:
    """Mining pseudo-labels: every window, by one encoder."""
    values = {"hours": hours, "devices": devices, "clip_seconds": clip_seconds, "fps": fps}
    _tell("mine", values, device, bench, precision, json)


def _tell(
    step: Any, values: dict[str, Any], device: str, bench: Path | None, precision: str, as_json: bool
) -> None:
    from rich.table import Table

    from cico_platform.cli.output import console, emit
    from cico_platform.cli.progress import make_settings
    from cico_platform.pipelines.device_rates import bench_rate, device_rate
    from cico_platform.pipelines.plan import PlanSettings, plan

    rate = device_rate(device) if bench is None else bench_rate(bench, precision)
    found = plan(step, make_settings(PlanSettings, **values), rate)
    table = Table(title=f"{step}: {values['hours']:g} hours of video", show_header=False, box=None)
    table.add_row("clips", f"{found['clips']:,}")
    table.add_row("windows to encode", f"{found['windows']:,}")
    table.add_row("device", f"{found['devices']} x {found['device']}")
    table.add_row("windows/s of each", f"{found['windows_per_second']:,} ({rate.basis}: {rate.source})")
    table.add_row("device-hours", f"{found['device_hours']:,}")
    table.add_row("hours until it is done", f"{found['hours']:,}")
    table.add_row("cores that decode, a device", f"{found['cores_per_device']}")
    table.add_row("disk", f"{found['disk_gib']:,} GiB")
    console.print(table)
    emit(as_json, found)
