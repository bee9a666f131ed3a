"""The sign encoder made fast without changing what it says: folded, re-laid, or run by an engine."""

import copy
import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignEncoder, SignOutput, Unit

Precision = Literal["auto", "float32", "bfloat16"]
InferenceEncoder = Callable[[Tensor], SignOutput]


def supports_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (avx512_bf16 or AMX)."""
    if platform.machine() in {"x86_64", "AMD64"} and Path("/proc/cpuinfo").is_file():
        flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
        return bool(flags & {"avx512_bf16", "amx_bf16"})
    return False


def optimize_for_inference(
    encoder: SignEncoder, precision: Precision = "auto", *, threads: int | None = None
) -> InferenceEncoder:
    """Make a sign encoder fast on the hardware at hand.

    Parameters
    ----------
    encoder
        The network; it is copied, not changed.
    precision
        `float32` is exact (to rounding); `bfloat16` keeps the cosine to the exact features above 0.9999;
        `auto` takes bfloat16 where the hardware multiplies it, else float32.
    threads
        CPU threads; all of them by default.

    Returns
    -------
    callable
        `clips [B, 3, 16, S, S]` to `SignOutput`, as the network itself in evaluation mode. On CUDA: bfloat16,
        channels-last, compiled. On a CPU: OpenVINO where it is installed, else the folded network.
    """
    device = next(encoder.parameters()).device
    folded = fold_batch_norm(copy.deepcopy(encoder).eval()).requires_grad_(False)
    if device.type == "cuda":
        return _TorchEncoder(folded, bfloat16=precision != "float32", compiled=True)
    bfloat16 = precision == "bfloat16" or (precision == "auto" and supports_bfloat16())
    if importlib.util.find_spec("openvino") is not None:
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
        self, encoder: SignEncoder, *, bfloat16: bool, threads: int | None, batch_size: int = 32
    ) -> None:
        import openvino

        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        size = encoder.config.frame_size
        self.batch_size = batch_size
        self.request = openvino.Core().compile_model(_trace(encoder, batch_size, size), "CPU", options)
        self.config: SignEncoderConfig = encoder.config

    def __call__(self, clips: Tensor) -> SignOutput:
        parts: list[tuple[Tensor, Tensor]] = []
        for chunk in torch.split(clips.float(), self.batch_size):
            rows = len(chunk)
            if rows < self.batch_size:
                chunk = torch.cat([chunk, chunk.new_zeros(self.batch_size - rows, *chunk.shape[1:])])
            outputs = self.request([chunk.contiguous().numpy()])
            parts.append(tuple(torch.from_numpy(outputs[i][:rows].copy()) for i in (0, 1)))  # type: ignore[arg-type]
        logits, embeddings = zip(*parts, strict=True)
        return SignOutput(torch.cat(logits), torch.cat(embeddings))


def _trace(encoder: SignEncoder, batch_size: int, size: int) -> Any:
    """The network as an OpenVINO model of fixed input shape; padding is a constant of that shape."""
    import warnings

    import openvino

    example = torch.zeros(batch_size, 3, 16, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openvino.convert_model(encoder, example_input=example, input=list(example.shape))
