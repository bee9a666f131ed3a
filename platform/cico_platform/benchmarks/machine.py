"""The machine that figures were measured on."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

from cico_platform.benchmarks.settings import usable_cores

GIB = 1 << 30
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("torch", "openvino", "nncf", "numpy")


def describe_machine(threads: int, device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, vector instructions, memory, versions, and the GPU if that computes; as JSON."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    known = set(told.get("flags", "").split())
    return {
        "processor": told.get("model name") or platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "threads": threads,
        **({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}),
        "flags": [flag for flag in FLAGS if flag in known],
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def free_bytes(device: str = "cpu") -> int:
    """Memory that a process can still take, within the container's limit, or on the GPU."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    free = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - int(used.read_text()))
    return free


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
