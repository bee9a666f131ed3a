"""Readers: one file a corpus format, all giving the same rows."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from cico_platform.corpus.readers import (
    cico_pickle,
    csl_daily,
    elan,
    folder,
    how2sign,
    labels,
    openasl,
    phoenix2014t,
    subtitles,
)
from cico_platform.corpus.readers.rows import BadRow, Row, Rows
from cico_platform.errors import InputError
from cico_platform.storage import Place

__all__ = ["FORMATS", "BadRow", "Reader", "Row", "Rows", "find_reader"]


@dataclass(frozen=True)
class Reader:
    """A format: whether a source is of it, and how it is read."""

    name: str
    sniff: Callable[[Place], bool]
    read: Callable[[Place, Place | None], Rows]


def _reader(module: ModuleType) -> Reader:
    return Reader(module.NAME, module.sniff, module.read)


# In the order in which "auto" asks: the particular before the general.
MODULES = (how2sign, phoenix2014t, openasl, csl_daily, cico_pickle, subtitles, elan, labels, folder)
READERS: tuple[Reader, ...] = tuple(_reader(module) for module in MODULES)
FORMATS: tuple[str, ...] = ("auto", *(reader.name for reader in READERS))


def find_reader(source: Place, name: str = "auto") -> Reader:
    """The reader of a format, or of the first format that recognises the source.

    Raises
    ------
    InputError
        If the format is not known, the source does not exist, or no format recognises it.
    """
    if name not in FORMATS:
        raise InputError(f"'{name}' is not a corpus format; known are {', '.join(FORMATS)}")
    if not source.exists():
        raise InputError(f"'{source}' does not exist")
    for reader in READERS:
        if name == reader.name or (name == "auto" and reader.sniff(source)):
            return reader
    if source.suffix.lower() in labels.SUFFIXES and source.is_file():
        labels.read(source)  # says what is missing
    raise InputError(f"'{source}' is of no known corpus format; name it with --format ({', '.join(FORMATS)})")
