"""The precision of a training: bfloat16 where the hardware has it and it pays, float32 elsewhere."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

from cico_model.precision import supports_bfloat16

PrecisionName = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Precision:
    """The type that a device computes in; None is float32 throughout."""

    device: torch.device
    dtype: torch.dtype | None

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which a network is called."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)


def choose_precision(name: PrecisionName, device: torch.device, on_cpu: bool) -> Precision:
    """Choose the precision; "auto" is bfloat16 on GPUs that have it, on such CPUs if it pays (`on_cpu`)."""
    return Precision(device, torch.bfloat16 if _takes_bfloat16(name, device, on_cpu) else None)


def _takes_bfloat16(name: PrecisionName, device: torch.device, on_cpu: bool) -> bool:
    if name != "auto":
        return name == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return on_cpu and supports_bfloat16()
