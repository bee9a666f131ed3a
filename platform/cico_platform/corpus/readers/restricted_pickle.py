"""Pickles as plain data: containers, text and numbers, never code."""

import io
import pickle
from typing import Any, NoReturn

from cico_platform.corpus.readers.rows import read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place

# Opcodes that copy what is there: a few bytes of them could fill the memory.
LARGEST_PICKLE = 512 << 20


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it would load {module}.{name}; only plain data is read")

    def persistent_load(self, identity: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to objects outside of it; only plain data is read")


def load_data(path: Place) -> Any:
    """The plain data of a pickle; nothing in it is ever run.

    Raises
    ------
    InputError
        If it is no pickle or holds anything but plain data.
    """
    data = read_bytes(path, LARGEST_PICKLE)
    try:
        return _DataOnly(io.BytesIO(data)).load()
    except Exception as error:  # a broken pickle raises almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"'{path}' cannot be read as a pickle of plain data: {reason[:200]}") from error
