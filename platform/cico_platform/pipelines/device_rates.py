"""How fast devices encode windows with the paper's sign encoder: measured where we could, else estimated."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from cico_model.config import WINDOW_FRAMES, SignEncoderConfig
from cico_model.sign_encoder import SignEncoder
from cico_platform.errors import InputError

Basis = Literal["measured", "estimated"]

# Windows/s in bfloat16 of `cico bench sign-encoder` (docs/benchmarks.md), and where.
MEASURED = {
    "cpu": (13.3, "2 cores of an AMD EPYC with avx512_bf16"),
    "h100": (2670.0, "the decoded frames of a video on one H100 80GB"),
}
# Dense bfloat16 (v100, t4: float16) TFLOP/s of the makers' data sheets.
PEAK_TFLOPS = {
    "v100": 125.0,
    "t4": 65.0,
    "a10": 125.0,
    "l4": 121.0,
    "l40s": 362.0,
    "a100": 312.0,
    "h100": 989.0,
    "h200": 989.0,
}
# Windows/s of the sign encoder's training, pairs/s of the retrieval model's (docs/benchmarks.md: a step of 64
# pairs takes 95 to 119 ms on an H100).
MEASURED_TRAINING: dict[str, dict[str, float]] = {"h100": {"pairs": 64 / 0.107}}
# A training step costs so many forward passes: its own, and twice that for the gradients.
FORWARD_PASSES = 3
# What the estimates of other GPUs are scaled from.
REFERENCE = "h100"
# Frames/s that one core of that machine decodes and resizes to 256: real clips of 1280 x 720, H.264.
DECODED_FRAMES_PER_CORE = 1100.0


@dataclass(frozen=True)
class Rate:
    """Windows a second of one device.

    Attributes
    ----------
    windows
        By one encoder of the paper's size.
    basis
        "measured" or "estimated".
    source
        Where the figure comes from, for people.
    """

    device: str
    windows: float
    basis: Basis
    source: str


def device_rate(device: str) -> Rate:
    """Return the encoding rate of a device, measured or estimated.

    Raises
    ------
    InputError
        If the device is unknown.
    """
    name = device.lower()
    if name in MEASURED:
        windows, where = MEASURED[name]
        return Rate(name, windows, "measured", where)
    if name not in PEAK_TFLOPS:
        known = ", ".join((*MEASURED, *PEAK_TFLOPS))
        raise InputError(
            f"nothing is known of the device '{device}' ({known} are known);"
            " measure yours with 'cico bench sign-encoder --json' and name its output with --bench"
        )
    share = MEASURED[REFERENCE][0] * window_operations() / (PEAK_TFLOPS[REFERENCE] * 1e12)
    operations = PEAK_TFLOPS[name] * 1e12 * share
    source = (
        f"{share:.0%} of the data sheet's {PEAK_TFLOPS[name]:g} TFLOP/s, as measured on an H100; "
        "measure it with --bench"
    )
    return Rate(name, operations / window_operations(), "estimated", source)


def bench_rate(report: Path, precision: str) -> Rate:
    """The rate in a file that `cico bench sign-encoder --json` wrote.

    Raises
    ------
    InputError
        If the file is none, or does not have this precision.
    """
    try:
        told = json.loads(report.read_text(encoding="utf-8"))
        rows = {row["name"]: row["ours"] for row in told["rows"] if "ours" in row}
        machine = str(told["machine"]["processor"])
        windows = float(rows[precision]["median"])
        quick = bool(told["quick"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{report}' does not tell windows/s in {precision}; write it with"
            f" 'cico bench sign-encoder --json > {report}' ({type(error).__name__}: {error})"
        ) from error
    if quick or windows <= 0:
        raise InputError(f"'{report}' comes from a quick run, which says nothing; leave --quick out")
    return Rate(machine, windows, "measured", str(report))


@cache
def window_operations() -> int:
    """Floating-point operations of one window in the paper's sign encoder."""
    config = SignEncoderConfig()
    with torch.device("meta"):
        encoder = SignEncoder(1, config).eval()
        clips = torch.empty(1, 3, WINDOW_FRAMES, config.frame_size, config.frame_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(clips)
    return int(counter.get_total_flops())


@dataclass(frozen=True)
class TrainingRates:
    """How fast one device trains the paper's networks.

    Attributes
    ----------
    windows
        Windows a second of the sign encoder.
    pairs
        Pairs a second of the retrieval model.
    windows_basis, pairs_basis
        "measured" or "estimated".
    """

    windows: float
    pairs: float
    windows_basis: Basis
    pairs_basis: Basis


def training_rates(rate: Rate) -> TrainingRates:
    """Return the measured training rates of a device, or estimates from its encoding rate.

    A training step of the sign encoder costs three forward passes. The retrieval model's is taken to scale
    with the device as the sign encoder does.
    """
    measured = MEASURED_TRAINING.get(rate.device, {})
    reference = MEASURED_TRAINING[REFERENCE]["pairs"] / MEASURED[REFERENCE][0]
    windows = measured.get("windows", rate.windows / FORWARD_PASSES)
    pairs = measured.get("pairs", rate.windows * reference)
    return TrainingRates(windows, pairs, _basis("windows" in measured), _basis("pairs" in measured))


def _basis(is_measured: bool) -> Basis:
    return "measured" if is_measured else "estimated"
