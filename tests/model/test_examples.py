"""The examples in the docstrings of the method run and say what they give."""

import doctest
import importlib
import pkgutil

import pytest

import cico_model

MODULES = sorted(module.name for module in pkgutil.iter_modules(cico_model.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"cico_model.{name}")).failed == 0


def test_every_public_name_is_there_and_is_no_module() -> None:
    for name in cico_model.__all__:
        assert callable(getattr(cico_model, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cico_model.nothing
