"""What numbers are computed in."""

import platform
from pathlib import Path

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """float64 stays, anything else becomes float32."""
    return values if values.dtype == torch.float64 else values.float()


def supports_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (avx512_bf16 or AMX)."""
    if platform.machine() in {"x86_64", "AMD64"} and Path("/proc/cpuinfo").is_file():
        flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
        return bool(flags & {"avx512_bf16", "amx_bf16"})
    return False
