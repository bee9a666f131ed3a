"""Import OpenVINO and NNCF without the usage reports that both send to their maker.

Both report each import and each conversion to a web address, unless a file in the home directory or `CI=true`
forbids it. Each report forks the calling process, which takes seconds where the process is large. Both do
without reports where the package `openvino_telemetry` cannot be imported.
"""

import sys
from importlib import import_module
from typing import Any


def import_openvino() -> Any:
    """Return the module `openvino`, without usage reports."""
    return _import_without_reports("openvino")


def import_nncf() -> Any:
    """Return the module `nncf`, without usage reports."""
    return _import_without_reports("nncf")


def _import_without_reports(name: str) -> Any:
    # An entry of None makes an import fail; one that was imported before stays.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module(name)
