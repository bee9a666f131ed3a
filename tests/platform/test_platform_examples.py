"""The examples in the platform's docstrings run and say what they give."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import cico_platform

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(cico_platform.__path__, "cico_platform.")
    if not module.ispkg
    and ">>> " in Path(cico_platform.__path__[0], *module.name.split(".")[1:]).with_suffix(".py").read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert doctest.testmod(importlib.import_module("cico_platform.steps")).attempted > 0
