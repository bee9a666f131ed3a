"""The plain implementations: they live with the tests, in a checkout, and are loaded from there."""

import importlib.util
from pathlib import Path
from types import ModuleType

import cico_platform
from cico_platform.errors import InputError

FOLDER = Path("tests") / "benchmarks"


def checkout() -> Path:
    """Root of the checkout that this package, or the current folder, belongs to.

    Raises
    ------
    InputError
        If neither has the plain implementations.
    """
    package = Path(cico_platform.__file__).resolve().parent
    for root in (package.parents[1], Path.cwd()):
        if (root / FOLDER / "plain_sign_encoder.py").is_file():
            return root
    raise InputError(
        f"no '{FOLDER}' at '{package.parents[1]}' or '{Path.cwd()}': the plain implementations are "
        "part of the checkout, not of the package; run 'cico bench' in the checkout's folder"
    )


def load_plain(name: str) -> ModuleType:
    """Import `tests/benchmarks/NAME.py` by its path."""
    path = checkout() / FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"'{path}' cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
