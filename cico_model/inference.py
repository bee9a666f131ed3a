"""The sign encoder made fast without changing what it says: folded, re-laid, or run by an engine."""

import contextlib
import copy
import importlib.util
import io
import logging
import platform
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignEncoder, SignOutput, Unit

Precision = Literal["auto", "float32", "bfloat16", "int8"]
InferenceEncoder = Callable[[Tensor], SignOutput]
SMALL_FRAME = 128


def supports_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (avx512_bf16 or AMX)."""
    if platform.machine() in {"x86_64", "AMD64"} and Path("/proc/cpuinfo").is_file():
        flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
        return bool(flags & {"avx512_bf16", "amx_bf16"})
    return False


def optimize_for_inference(
    encoder: SignEncoder,
    precision: Precision = "auto",
    calibration: Tensor | None = None,
    *,
    threads: int | None = None,
) -> InferenceEncoder:
    """Make a sign encoder fast on the hardware at hand.

    Parameters
    ----------
    encoder
        The network; it is copied, not changed.
    precision
        `float32` is exact (to rounding); `bfloat16` keeps the cosine to the exact features above 0.9999;
        `int8` quantises weights and activations after training (OpenVINO and NNCF, CPU only); `auto` takes
        bfloat16 where the hardware multiplies it, else float32, and never quantises.
    calibration
        For `int8`: float [N, 3, 16, S, S], a few real clips in [-0.5, 0.5] from which the ranges are read.
    threads
        CPU threads; all of them by default.

    Returns
    -------
    callable
        `clips [B, 3, 16, S, S]` to `SignOutput`, as the network itself in evaluation mode. On CUDA: bfloat16,
        channels-last, compiled. On a CPU: OpenVINO where it is installed, else the folded network.

    Raises
    ------
    ValueError
        If `int8` is asked for without calibration clips, without OpenVINO, or on another device than a CPU.
    """
    device = next(encoder.parameters()).device
    folded = fold_batch_norm(copy.deepcopy(encoder).eval()).requires_grad_(False)
    has_engine = device.type == "cpu" and importlib.util.find_spec("openvino") is not None
    if precision == "int8":
        if calibration is None or not len(calibration):
            raise ValueError("int8 needs calibration clips [N, 3, 16, S, S]: a few real ones, not noise")
        if not has_engine:
            raise ValueError("int8 runs on a CPU with openvino and nncf installed; use bfloat16 here")
        return _OpenVinoEncoder(
            folded, bfloat16=supports_bfloat16(), threads=threads, calibration=calibration
        )
    if device.type == "cuda":
        return _TorchEncoder(folded, bfloat16=precision != "float32", compiled=True)
    bfloat16 = precision == "bfloat16" or (precision == "auto" and supports_bfloat16())
    if has_engine:
        return _OpenVinoEncoder(folded, bfloat16=bfloat16, threads=threads)
    return _TorchEncoder(folded, bfloat16=bfloat16, compiled=False)


def fold_batch_norm(encoder: SignEncoder) -> SignEncoder:
    """Move each batch normalisation into the convolution before it, in place; exact up to rounding."""
    for unit in [m for m in encoder.modules() if isinstance(m, Unit)]:
        unit.conv3d = fuse_conv_bn_eval(unit.conv3d, unit.bn)
        unit.bn = nn.Identity()  # type: ignore[assignment]
    return encoder


class _TorchEncoder:
    """The folded network in channels-last layout, under autocast for bfloat16."""

    def __init__(self, encoder: SignEncoder, *, bfloat16: bool, compiled: bool) -> None:
        self.device = next(encoder.parameters()).device
        self.bfloat16 = bfloat16
        encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.run: Callable[[Tensor], SignOutput] = torch.compile(encoder) if compiled else encoder

    @torch.inference_mode()
    def __call__(self, clips: Tensor) -> SignOutput:
        clips = clips.to(self.device, memory_format=torch.channels_last_3d, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.run(clips)


class _OpenVinoEncoder:
    """The folded network compiled by OpenVINO for one batch size, so that rows never depend on company."""

    def __init__(
        self,
        encoder: SignEncoder,
        *,
        bfloat16: bool,
        threads: int | None,
        calibration: Tensor | None = None,
    ) -> None:
        import openvino

        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self.config: SignEncoderConfig = encoder.config
        # Small frames need company to keep the cores busy; large ones do alone, and waste no padding.
        self.batch_size = 1 if self.config.frame_size > SMALL_FRAME else 32
        model = _trace(encoder, self.batch_size)
        if calibration is not None:
            model = _quantise(model, calibration, self.batch_size)
        self.request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()

    def __call__(self, clips: Tensor) -> SignOutput:
        rows: list[list[Tensor]] = [[], []]
        for chunk in torch.split(clips.float(), self.batch_size):
            count = len(chunk)
            results = self.request.infer([_fill(chunk, self.batch_size).numpy()])
            for index in (0, 1):
                rows[index].append(torch.from_numpy(results[index][:count].copy()))
        return SignOutput(torch.cat(rows[0]), torch.cat(rows[1]))


def _fill(clips: Tensor, batch_size: int) -> Tensor:
    """Clips with zero rows behind, up to the batch size."""
    missing = clips.new_zeros(batch_size - len(clips), *clips.shape[1:])
    return torch.cat([clips, missing]) if len(missing) else clips.contiguous()


def _trace(encoder: SignEncoder, batch_size: int) -> Any:
    """The network as an OpenVINO model of fixed input shape; padding is a constant of that shape."""
    import openvino

    example = torch.zeros(batch_size, 3, 16, encoder.config.frame_size, encoder.config.frame_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of the shapes that are meant to be constants
        # Tracing runs the network once; its check would do so again and again: minutes on a busy machine.
        traced = torch.jit.trace(encoder, example, check_trace=False)  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, example_input=example, input=list(example.shape))


def _quantise(model: Any, calibration: Tensor, batch_size: int) -> Any:
    """The model in int8: ranges from the calibration clips, with bias correction (NNCF)."""
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    batches = [_fill(chunk, batch_size).numpy() for chunk in torch.split(calibration.float(), batch_size)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))
