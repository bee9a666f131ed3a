"""The rows of `cico bench scale`, and the run that measures them one after the other."""

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from cico_platform.benchmarks.interleave import Say
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.rows import Row
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.errors import InputError

# A row's name and the module whose function `measure` gives it (`Measure`).
ROWS = {
    "driver": "cico_platform.benchmarks.scale.driver",
    "sample-store": "cico_platform.benchmarks.scale.sample_store",
    "feature-store": "cico_platform.benchmarks.scale.feature_store",
    "index-building": "cico_platform.benchmarks.scale.index_building",
}


class Measure(Protocol):
    """A module's `measure`: it writes into the folder what it needs, and returns its row."""

    def __call__(self, folder: Path, settings: BenchSettings, say: Say) -> Row:
        """Measure."""


def bench_scale(
    settings: BenchSettings, say: Say, only: Sequence[str] = (), folder: Path | None = None
) -> dict[str, Any]:
    """Measure all rows, or these.

    Parameters
    ----------
    folder
        Where the drawn corpora are put, in a folder that is removed in the end; the machine's temporary
        folder without it. Files are sparse: they take a small part of their size.

    Returns
    -------
    dict
        `rows` and `machine`.

    Raises
    ------
    InputError
        If a row is unknown.
    """
    for name in only:
        if name not in ROWS:
            raise InputError(f"the rows are {', '.join(ROWS)}, not '{name}'")
    rows: list[Row] = []
    for name, module in ROWS.items():
        if only and name not in only:
            continue
        measure: Measure = importlib.import_module(module).measure
        with tempfile.TemporaryDirectory(prefix="cico-bench-", dir=folder) as work:
            rows.append(measure(Path(work), settings, say))
    return {"rows": rows, "machine": describe_machine(settings.threads), "quick": settings.quick}
