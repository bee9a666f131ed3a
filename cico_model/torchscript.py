"""Tensors of a TorchScript archive, as OpenAI publishes CLIP, without running the code that it holds."""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# What of a class's text says which of its tensors belong to the state dict.
CLASS = re.compile(r"^class (\S+)\(Module\):\n  __parameters__ = \[(.*?)\]\n  __buffers__ = \[(.*?)\]", re.M)


class Stored:
    """A module of the archive: its attributes, under whatever names it has."""

    kind = ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state


def read_archive(file: str | Path) -> dict[str, Tensor]:
    """The state dict of a TorchScript archive.

    Its classes become plain containers; nothing but tensors, containers and numbers is unpickled.

    Raises
    ------
    ValueError
        If it is no such archive, or holds something else.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            data = next(name for name in names if name.count("/") == 1 and name.endswith("/data.pkl"))
            root = data.removesuffix("data.pkl")
            order = root + "byteorder"
            if order in names and archive.read(order) != b"little":
                raise ValueError("it was written on a big-endian machine")
            with archive.open(data) as stream:
                module = _Unpickler(stream, archive, root).load()
            return dict(_state(module, "", _members(archive, root)))
    except Exception as error:  # a broken pickle raises almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"'{file}' is no TorchScript archive whose tensors can be read: {reason}") from error


class _Unpickler(pickle.Unpickler):
    """Knows tensors, their storages, and modules as containers; refuses all else."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(stream)
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return type("Stored", (Stored,), {"kind": f"{module}.{name}"})
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle":  # marks of lists of numbers: the list itself will do
            return lambda *values: values[0]
        raise pickle.UnpicklingError(f"it would load {module}.{name}; only tensors are read")

    def persistent_load(self, identity: Any) -> Tensor:
        kind, dtype, key, _, count = identity
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("it refers to something that is no tensor")
        if key not in self._storages:
            place = self._archive.getinfo(f"{self._root}data/{key}")
            if place.compress_type != zipfile.ZIP_STORED:  # a few bytes could become any number
                raise pickle.UnpicklingError("its tensors are compressed")
            content = bytearray(self._archive.read(place))
            self._storages[key] = torch.frombuffer(content, dtype=dtype, count=int(count))
        return self._storages[key]


def _tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Tensor:
    return torch.as_strided(storage, size, stride, offset)


def _members(archive: zipfile.ZipFile, root: str) -> dict[str, set[str]]:
    """Names of the parameters and buffers of each class."""
    found: dict[str, set[str]] = {}
    for name in archive.namelist():
        if name.startswith(f"{root}code/") and name.endswith(".py"):
            package = name.removeprefix(f"{root}code/").removesuffix(".py").replace("/", ".")
            for kind, *lists in CLASS.findall(archive.read(name).decode()):
                found[f"{package}.{kind}"] = set(re.findall(r'"([^"]+)"', " ".join(lists)))
    return found


def _state(module: Any, prefix: str, members: dict[str, set[str]]) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(module, Stored):
        raise ValueError(f"it holds a {type(module).__name__}, not a module")
    for name, value in module.attributes.items():
        if isinstance(value, Stored):
            yield from _state(value, f"{prefix}{name}.", members)
        elif isinstance(value, Tensor) and name in members.get(module.kind, set()):
            yield prefix + name, value
