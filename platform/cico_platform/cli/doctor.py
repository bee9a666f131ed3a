"""`cico doctor`: says whether this machine has what the platform needs, and what to do where it has not."""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Status = Literal["ok", "note", "fail"]

PACKAGES = (
    "torch",
    "ray",
    "qdrant-edge-py",
    "qdrant-client",
    "openvino",
    "nncf",
    "av",
    "opencv-python-headless",
    "transformers",
    "fastapi",
    "pyarrow",
)
# What the platform reads, and what the synthetic corpus and the page are written in.
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")
ENCODERS = ("libx264",)
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
NEEDED_MEMORY_GIB = 6.0
NEEDED_DISK_GIB = 3.0
GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """What one look at the machine found: a line for people, details for programs, perhaps a remedy."""

    name: str
    status: Status
    found: str
    details: dict[str, Any]
    remedy: str = ""


def doctor(
    ray_start: Annotated[bool, typer.Option("--ray", help="Also start Ray and run one task (10 s).")] = False,
    folder: Annotated[Path, typer.Option("--folder", help="Where the work will be written.")] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Check this machine: versions, processor, memory, disk, video codecs, browser, GPU."""
    from cico_platform.cli.output import emit, say

    looks: dict[str, Callable[[], Finding]] = {
        "python": python,
        "packages": packages,
        "processor": processor,
        "memory": memory,
        "disk": lambda: disk(folder),
        "codecs": codecs,
        "gpu": gpu,
        "browser": browser,
    }
    if ray_start:
        looks["ray"] = ray_starts
    findings = [_look(name, look) for name, look in looks.items()]
    for finding in findings:
        mark = {
            "ok": "[green]ok  [/green]",
            "note": "[yellow]note[/yellow]",
            "fail": "[bold red]FAIL[/bold red]",
        }
        say(f"{mark[finding.status]} {finding.name:<10} {finding.found}")
        if finding.remedy:
            say(f"     {'':<10} {finding.remedy}")
    failed = [finding.name for finding in findings if finding.status == "fail"]
    say(f"[bold red]cannot run here: {', '.join(failed)}[/bold red]" if failed else "[bold]ready[/bold]")
    emit(json, {"ready": not failed, "checks": {finding.name: asdict(finding) for finding in findings}})
    if failed:
        raise typer.Exit(1)


def python() -> Finding:
    """The interpreter: 3.11 to 3.13."""
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    found = f"{version} on {platform.system()} {platform.machine()}"
    remedy = "" if fits else "install Python 3.11, 3.12 or 3.13 and make the environment again"
    return Finding("python", "ok" if fits else "fail", found, {"version": version}, remedy)


def packages() -> Finding:
    """The packages that everything rests on, and their versions."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    # Without these two the encoder still runs, slower, in torch.
    missing = [name for name, is_there in found.items() if not is_there and name not in ("openvino", "nncf")]
    shown = ", ".join(f"{name} {release}" for name, release in found.items() if release)
    remedy = f"missing: {', '.join(missing)}; run `make setup`" if missing else ""
    return Finding("packages", "fail" if missing else "ok", shown, {"versions": found}, remedy)


def processor() -> Finding:
    """How many cores may be used, and which instructions make the encoder fast."""
    flags = sorted(_cpu_flags() & set(CPU_FLAGS))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fast = "bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"
    int8 = bool({"avx512_vnni", "avx_vnni", "amx_int8"} & set(flags))
    found = f"{cores} cores, {' '.join(flags) or 'no vector flags known'}; auto precision is {fast}"
    details = {"cores": cores, "flags": flags, "auto_precision": fast, "int8_instructions": int8}
    return Finding("processor", "ok", found, details)


def memory() -> Finding:
    """Memory that programs can still take, within the container's limit; the demo needs 6 GiB."""
    import psutil

    available = psutil.virtual_memory().available / GIB
    limit = _container_limit_gib()
    usable = min(available, limit) if limit is not None else available
    details = {
        "available_gib": round(available, 2),
        "container_limit_gib": limit,
        "needed_gib": NEEDED_MEMORY_GIB,
    }
    remedy = (
        ""
        if usable >= NEEDED_MEMORY_GIB
        else f"the demo uses up to {NEEDED_MEMORY_GIB:.0f} GiB; close something"
    )
    return Finding("memory", "note" if remedy else "ok", f"{usable:.1f} GiB free", details, remedy)


def disk(folder: Path) -> Finding:
    """Room where the work will be written, and whether it can be written there."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / GIB
    details = {"folder": str(place), "free_gib": round(free, 2), "needed_gib": NEEDED_DISK_GIB}
    found = f"{free:.1f} GiB free at {place}"
    if not os.access(place, os.W_OK):
        return Finding(
            "disk", "fail", found, details, "the folder cannot be written; name another with --folder"
        )
    remedy = "" if free >= NEEDED_DISK_GIB else f"the demo's files and Ray's need {NEEDED_DISK_GIB:.0f} GiB"
    return Finding("disk", "note" if remedy else "ok", found, details, remedy)


def codecs() -> Finding:
    """The codecs in the FFmpeg libraries that PyAV carries."""
    import av
    from av.codec import Codec

    def has(name: str, mode: Literal["r", "w"]) -> bool:
        try:
            Codec(name, mode)
        except (ValueError, av.error.FFmpegError):
            return False
        return True

    reads = [name for name in DECODERS if has(name, "r")]
    writes = [name for name in ENCODERS if has(name, "w")]
    libavcodec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    found = f"libavcodec {libavcodec}, reads {' '.join(reads)}, writes {' '.join(writes)}"
    details = {"libavcodec": libavcodec, "reads": reads, "writes": writes}
    good = "h264" in reads and writes == list(ENCODERS)
    remedy = "" if good else "this build of PyAV lacks H.264; install the wheel: `make clean setup`"
    return Finding("codecs", "ok" if good else "fail", found, details, remedy)


def gpu() -> Finding:
    """CUDA devices, if any; nothing needs one."""
    import torch

    from cico_model.engines import has_c_compiler

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [torch.cuda.get_device_name(index) for index in range(count)]
    found = ", ".join(names) if names else "none; everything runs on the processor"
    details = {"devices": names, "cuda": torch.version.cuda, "c_compiler": has_c_compiler()}
    if names and not has_c_compiler():
        remedy = "install gcc: without a C compiler encoders are not compiled for the GPU, and slower"
        return Finding("gpu", "note", found, details, remedy)
    return Finding("gpu", "ok", found, details)


def browser() -> Finding:
    """A Chromium for the tests of the page; nothing else needs one."""
    path = next((where for name in CHROMIUM if (where := shutil.which(name))), None)
    remedy = "" if path else "only the browser tests need it; `make browser` installs it on Debian"
    return Finding("browser", "ok" if path else "note", path or "no chromium", {"path": path}, remedy)


def ray_starts() -> Finding:
    """Start Ray as the pipelines do, run one task, and stop it again."""
    import time

    import ray

    from cico_platform.cluster import connect

    began = time.monotonic()
    connect()
    try:
        answer = ray.get(ray.remote(lambda: os.getpid()).remote(), timeout=60)
        resources = {name: value for name, value in ray.cluster_resources().items() if ":" not in name}
    finally:
        ray.shutdown()
    seconds = round(time.monotonic() - began, 1)
    details = {"seconds": seconds, "resources": resources, "worker_pid": answer}
    return Finding("ray", "ok", f"started and ran a task in {seconds} s", details)


def _look(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # whatever breaks here is what the person came to learn
        return Finding(
            name, "fail", f"{type(error).__name__}: {error}", {}, "run `make clean setup` and try again"
        )


def _cpu_flags() -> set[str]:
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return set()
    return set(listing.read_text().partition("flags")[2].partition("\n")[0].split())


def _container_limit_gib() -> float | None:
    limit = Path("/sys/fs/cgroup/memory.max")
    if not limit.is_file():
        return None
    text = limit.read_text().strip()
    return round(int(text) / GIB, 2) if text.isdigit() else None
