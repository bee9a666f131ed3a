"""What runs a network fast in one shape: torch, compiled on CUDA, or OpenVINO on a CPU."""

import contextlib
import copy
import io
import logging
import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cico_model.quiet_imports import import_nncf, import_openvino
from cico_model.sign_encoder import Classifier

Network = Callable[[Tensor], tuple[Tensor, ...]]
# Makes a network fast for inputs of one shape.
Compile = Callable[[nn.Module, tuple[int, ...]], Network]


def has_c_compiler() -> bool:
    """Whether `torch.compile` can work on CUDA: Triton builds with `$CC`, gcc or clang."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["gcc", "clang"]
    return any(shutil.which(name) for name in names)


def torch_engine(device: torch.device, *, bfloat16: bool, compiled: bool) -> Compile:
    """Networks in channels-last layout; in bfloat16 but for the classifier, whose scores decide."""

    def compile_network(network: nn.Module, shape: tuple[int, ...]) -> Network:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        if bfloat16:
            network = _in_bfloat16(network)
        run = torch.compile(network) if compiled else network

        @torch.inference_mode()
        def infer(rows: Tensor) -> tuple[Tensor, ...]:
            rows = rows.to(device, dtype, memory_format=torch.channels_last_3d, non_blocking=True)
            with _exact(device, not bfloat16):
                found = run(rows)
            return (found,) if isinstance(found, Tensor) else tuple(found)

        return infer

    return compile_network


def _in_bfloat16(network: nn.Module) -> nn.Module:
    """A copy: the parts of an encoder share its layers."""
    rounded = copy.deepcopy(network).bfloat16()
    for part, exact in zip(rounded.modules(), network.modules(), strict=True):
        if isinstance(exact, Classifier):
            part.float().load_state_dict(exact.state_dict())
    return rounded


def _exact(device: torch.device, wanted: bool) -> contextlib.AbstractContextManager[object]:
    """Where float32 is meant: PyTorch lets convolutions on CUDA round their inputs to TF32 (10 bits)."""
    if device.type != "cuda" or not wanted:
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def openvino_engine(*, bfloat16: bool, threads: int | None, calibration: Tensor | None) -> Compile:
    """Networks compiled by OpenVINO for one shape; quantised where there are calibration clips."""
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        # Pinned, the threads of several processes would all sit on the first cores.
        "ENABLE_CPU_PINNING": False,
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads

    openvino = import_openvino()

    def compile_network(network: nn.Module, shape: tuple[int, ...]) -> Network:
        model = _trace(network, shape)
        if calibration is not None:
            model = _quantise(model, calibration, shape[0])
        compiled = openvino.Core().compile_model(model, "CPU", options)
        request, outputs = compiled.create_infer_request(), len(compiled.outputs)

        def infer(rows: Tensor) -> tuple[Tensor, ...]:
            results = request.infer([rows.contiguous().numpy()])
            return tuple(torch.from_numpy(results[index].copy()) for index in range(outputs))

        return infer

    return compile_network


def _trace(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """The network as an OpenVINO model of fixed input shape; padding is a constant of that shape."""
    example = torch.zeros(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of the shapes that are meant to be constants
        # Tracing runs the network once; its check would do so again and again: minutes on a busy machine.
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        return import_openvino().convert_model(traced, example_input=example, input=list(shape))


def _quantise(model: Any, calibration: Tensor, batch_size: int) -> Any:
    """The model in int8: ranges from the calibration clips, with bias correction (NNCF)."""
    nncf = import_nncf()
    logging.getLogger("nncf").setLevel(logging.ERROR)
    batches = []
    for chunk in torch.split(calibration.float(), batch_size):
        missing = chunk.new_zeros(batch_size - len(chunk), *chunk.shape[1:])
        batches.append(torch.cat([chunk, missing]).numpy())
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))
