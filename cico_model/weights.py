"""Weights from outside: read without running anything, unwrapped, and checked before any is loaded."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cico_model.torchscript import read_archive

WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "clip.")


def read_weights(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a weights file, by name, without wrappers' prefixes.

    Parameters
    ----------
    file
        `.safetensors`, what `torch.save` wrote, or a TorchScript archive (as OpenAI publishes CLIP). Nothing
        but tensors and plain containers is unpickled.

    Raises
    ------
    ValueError
        If it is no such file, or holds something else.
    FileNotFoundError
        If there is no such file.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file '{file}'")
    try:
        if file.suffix == ".safetensors":
            return unwrap(load_file(file))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say of odd files is said below
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, SafetensorError, EOFError, KeyError, OSError) as error:
        if "TorchScript" in str(error):
            return unwrap(read_archive(file))
        raise ValueError(f"'{file}' holds no weights that can be read safely: {_first(error)}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"'{file}' holds a {type(content).__name__}, not a dictionary of tensors")
    return unwrap(content)


def load_weights(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's safetensors file; those stored in half precision become float32."""
    return {name: _widened(value) for name, value in load_file(file).items()}


def half_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float16 instead of float32, for a file of half the size that `load_weights` reads.

    Raises
    ------
    ValueError
        If a weight is too large for float16: its name is told.
    """
    narrow = {
        name: value.half() if value.dtype == torch.float32 else value for name, value in weights.items()
    }
    for name, value in narrow.items():
        if value.dtype == torch.float16 and not bool(torch.isfinite(value).all()):
            raise ValueError(f"the weight '{name}' is too large for half precision")
    return narrow


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def unwrap(state_dict: Mapping[str, Any], prefixes: tuple[str, ...] = PREFIXES) -> dict[str, Tensor]:
    """Tensors by name, without the dictionary and the prefixes that training wrapped around them.

    Raises
    ------
    ValueError
        If a value is no tensor, or two names are the same without their prefixes.
    """
    for wrapper in WRAPPERS:
        inner = state_dict.get(wrapper)
        if isinstance(inner, Mapping):
            state_dict = inner
    weights: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        name = key
        while name.startswith(prefixes):
            name = name.split(".", 1)[1]
        if not isinstance(value, Tensor):
            raise ValueError(f"'{key}' of the checkpoint is a {type(value).__name__}, not a tensor")
        if name in weights:
            raise ValueError(f"'{key}' is in the checkpoint twice, with and without a prefix")
        weights[name] = value
    return weights


def check_weights(
    wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], names: Mapping[str, str] | None = None
) -> None:
    """Refuse weights that don't fit, before any is loaded.

    Parameters
    ----------
    wanted, found
        State dicts.
    names
        For the messages: what a weight is called in the file that it came from.

    Raises
    ------
    ValueError
        Naming the first key that is missing, unknown, of another shape, or not finite.
    """
    names = names or {}
    for name, value in wanted.items():
        if name not in found:
            raise ValueError(f"the checkpoint lacks the weight '{names.get(name, name)}'")
        if found[name].shape != value.shape:
            shapes = f"{tuple(found[name].shape)} instead of {tuple(value.shape)}"
            raise ValueError(f"'{names.get(name, name)}' of the checkpoint has shape {shapes}")
    for name, value in found.items():
        if name not in wanted:
            raise ValueError(f"'{names.get(name, name)}' of the checkpoint has no place in the model")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"'{names.get(name, name)}' of the checkpoint holds values that are not finite")


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
