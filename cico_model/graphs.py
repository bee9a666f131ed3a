"""The encoders as graphs that run without PyTorch, in ONNX or OpenVINO, each tried beside PyTorch."""

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional

from cico_model.config import WINDOW_FRAMES
from cico_model.model import RetrievalModel
from cico_model.quiet_imports import import_openvino
from cico_model.sign_encoder import SignEncoder

GraphFormat = Literal["onnx", "openvino"]
PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
# Largest difference to PyTorch, as a part of the largest value: rounding stays below a hundredth of it.
TOLERANCE = 1e-4
# Batches that a graph is tried with, and the length of each as a part of the longest.
TRIED = ((1, 0.0), (2, 1.0), (5, 0.4))
Draw = Callable[[int, int], tuple[Tensor, ...]]
Run = Callable[[tuple[Tensor, ...]], list[Tensor]]


class GraphError(RuntimeError):
    """A graph does not say what PyTorch says."""


class Graph(NamedTuple):
    """An encoder to be made a graph.

    `inputs` and `outputs` have the names and the shapes that people see: a letter is an axis of any size.
    `draw` gives random inputs of a batch size and a length, `longest` the largest length (0: it has none).
    """

    name: str
    module: nn.Module
    inputs: dict[str, tuple[str | int, ...]]
    outputs: dict[str, tuple[str | int, ...]]
    draw: Draw
    longest: int = 0


class VideoGraph(nn.Module):
    """`RetrievalModel.encode_video` and `video_mask` of features that have been checked."""

    def __init__(self, model: RetrievalModel) -> None:
        super().__init__()
        self.tower, self.config = model.video, model.config

    def forward(self, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        missing = 0 if self.config.mask_padding else self.config.max_windows - valid.shape[1]
        whole = functional.pad(valid, (0, missing))
        tokens = self.tower.encode(functional.pad(features, (0, 0, 0, missing)), whole)
        return tokens, functional.pad(whole, (1, 0))


class TextGraph(nn.Module):
    """The text tower without its checks."""

    def __init__(self, model: RetrievalModel) -> None:
        super().__init__()
        self.tower = model.text

    def forward(self, token_ids: Tensor) -> Tensor:
        return self.tower.encode(token_ids)


def retrieval_graphs(model: RetrievalModel) -> list[Graph]:
    """Both towers of a retrieval model, with free axes of batch, time and length.

    Two streams are mixed over all windows: their time is fixed. Where padding counts, a text's length is.
    """
    config = model.config
    windows, context = config.max_windows, config.context_length
    free = config.mask_padding

    def draw_video(batch: int, length: int) -> tuple[Tensor, ...]:
        length = windows if config.streams == 2 else length
        valid = torch.arange(length)[None] < torch.randint(1, length + 1, (batch, 1))
        return torch.rand(batch, config.streams * length, config.feature_dim), valid

    def draw_text(batch: int, length: int) -> tuple[Tensor, ...]:
        return (torch.randint(0, config.vocab_size, (batch, length if free else context)),)

    time, mask = ("T", "T") if config.streams == 1 else (2 * windows, windows)
    tokens = "1 + T" if free and config.streams == 1 else 1 + windows
    length = "L" if free else context
    return [
        Graph(
            "video_tower",
            VideoGraph(model),
            {"features": ("B", time, config.feature_dim), "valid": ("B", mask)},
            {"tokens": ("B", tokens, config.embed_dim), "token_valid": ("B", tokens)},
            draw_video,
            windows,
        ),
        Graph(
            "text_tower",
            TextGraph(model),
            {"token_ids": ("B", length)},
            {"tokens": ("B", length, config.embed_dim)},
            draw_text,
            context,
        ),
    ]


def sign_encoder_graph(encoder: SignEncoder) -> Graph:
    """The I3D, in evaluation mode; its windows are of 16 frames."""
    size = encoder.config.frame_size

    def draw(batch: int, _: int) -> tuple[Tensor, ...]:
        return (torch.rand(batch, 3, WINDOW_FRAMES, size, size) - 0.5,)

    outputs: dict[str, tuple[str | int, ...]] = {
        "logits": ("B", encoder.num_classes),
        "embedding": ("B", encoder.config.feature_dim),
    }
    return Graph("sign_encoder", encoder, {"clips": ("B", 3, WINDOW_FRAMES, size, size)}, outputs, draw)


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that are unknown or whose packages are not installed.

    Raises
    ------
    ValueError
        If there is one: it says what to install.
    """
    for name in formats:
        if name not in PACKAGES:
            raise ValueError(f"a graph is in the format {' or '.join(PACKAGES)}, not '{name}'")
        missing = [package for package in PACKAGES[name] if importlib.util.find_spec(package) is None]
        if missing:
            hint = " (pip install 'cico-platform[onnx]')" if name == "onnx" else ""
            raise ValueError(f"the format '{name}' needs {', '.join(missing)}{hint}")


def write_graphs(graph: Graph, formats: Sequence[GraphFormat], folder: Path) -> dict[str, float]:
    """Write an encoder in each format and try what was written beside PyTorch on random input.

    Parameters
    ----------
    graph
        From `retrieval_graphs` or `sign_encoder_graph`; its module is put into evaluation mode.
    formats
        Each gets a folder of its name in `folder`.

    Returns
    -------
    dict
        By the files' paths below `folder`: the largest absolute difference of any output.

    Raises
    ------
    GraphError
        If a difference is above `TOLERANCE` of the largest value.
    """
    graph.module.eval()
    found: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _quiet():
        torch.manual_seed(0)
        program = _export(graph)
        for name in formats:
            file = folder / name / f"{graph.name}{SUFFIXES[name]}"
            file.parent.mkdir(parents=True, exist_ok=True)
            (_write_onnx if name == "onnx" else _write_openvino)(program, graph, file)
            run = (_onnx_runner if name == "onnx" else _openvino_runner)(file, graph)
            found[file.relative_to(folder).as_posix()] = largest_difference(graph, run)
    return found


def largest_difference(graph: Graph, run: Run) -> float:
    """Largest absolute difference between a graph that is run elsewhere and its module, over batches `TRIED`.

    Raises
    ------
    GraphError
        If it is above `TOLERANCE` of the largest value, or a shape differs.
    """
    largest = 0.0
    for batch, part in TRIED:
        inputs = graph.draw(batch, max(1, round(part * graph.longest)))
        wanted = graph.module(*inputs)
        values = (wanted,) if isinstance(wanted, Tensor) else tuple(wanted)
        for name, value, other in zip(graph.outputs, values, run(inputs), strict=True):
            if value.shape != other.shape:
                shapes = f"{tuple(other.shape)} as a graph, not {tuple(value.shape)}"
                raise GraphError(f"'{name}' of '{graph.name}' has shape {shapes}")
            apart = float((value.float() - other.float()).abs().max())
            if not apart <= TOLERANCE * float(value.float().abs().max()):
                raise GraphError(f"'{name}' of '{graph.name}' as a graph is {apart:.3g} apart from PyTorch's")
            largest = max(largest, apart)
    return largest


def _export(graph: Graph) -> ExportedProgram:
    """The module as torch's own graph; axes that are named are free."""
    axes = {"B": Dim("batch", min=1), "T": Dim("time", min=1, max=graph.longest or None)}
    axes["L"] = Dim("length", min=1, max=graph.longest or None)
    shapes = tuple({i: axes[a] for i, a in enumerate(shape) if a in axes} for shape in graph.inputs.values())
    # Sizes of 0 and 1 would be taken for constants.
    example = graph.draw(2, max(2, graph.longest // 2))
    return torch.export.export(graph.module, example, dynamic_shapes=shapes, strict=False)


def _write_onnx(program: ExportedProgram, graph: Graph, file: Path) -> None:
    names = {"input_names": list(graph.inputs), "output_names": list(graph.outputs)}
    written = torch.onnx.export(program, dynamo=True, verbose=False, **names)  # type: ignore[arg-type]
    assert written is not None
    written.save(file)


def _onnx_runner(file: Path, graph: Graph) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        feed = {name: value.numpy() for name, value in zip(graph.inputs, inputs, strict=True)}
        return [torch.from_numpy(value) for value in session.run(list(graph.outputs), feed)]

    return run


def _write_openvino(program: ExportedProgram, graph: Graph, file: Path) -> None:
    openvino = import_openvino()
    model = openvino.convert_model(program)
    for place, name in zip(model.inputs, graph.inputs, strict=True):
        place.get_tensor().set_names({name})
    for place, name in zip(model.outputs, graph.outputs, strict=True):
        place.get_tensor().set_names({name})
    model.reshape({name: [a if isinstance(a, int) else -1 for a in s] for name, s in graph.inputs.items()})
    openvino.save_model(model, str(file), compress_to_fp16=False)


def _openvino_runner(file: Path, graph: Graph) -> Run:
    # Where the hardware has bfloat16 it would be taken, and differ by a thousandth.
    compiled = import_openvino().Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        feed = {name: value.numpy() for name, value in zip(graph.inputs, inputs, strict=True)}
        results: Any = compiled(feed)
        return [torch.from_numpy(results[name].copy()) for name in graph.outputs]

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters tell a lot about themselves."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
