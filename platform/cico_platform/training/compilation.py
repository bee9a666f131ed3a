"""Compilation of networks for a GPU: fused kernels, launched one by one or as CUDA graphs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeVar, cast

import torch
from torch import nn

CompileMode = Literal["off", "default", "reduce-overhead"]
Function = TypeVar("Function", bound=Callable[..., Any])
BACKEND = "inductor"


def compiled(function: Function, mode: CompileMode) -> Function:
    """Return a function compiled for each shape it is called with; "reduce-overhead" makes CUDA graphs."""
    return cast(Function, torch.compile(function, mode=mode, dynamic=False, backend=BACKEND))


def compile_module(module: nn.Module, mode: CompileMode) -> None:
    """Compile a network in place; its parameters keep their names."""
    module.compile(mode=mode, dynamic=False, backend=BACKEND)


def uncompiled(is_compiled: bool) -> AbstractContextManager[object]:
    """Return a context in which compiled functions run as they are: no graphs of shapes that come rarely."""
    # The call itself imports the compiler, which takes seconds.
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
