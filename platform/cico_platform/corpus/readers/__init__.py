"""Readers: one file a corpus format, all giving the same rows."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from cico_platform.corpus.readers import (
    asl_citizen,
    cico_pickle,
    csl_daily,
    elan,
    folder,
    how2sign,
    labels,
    msasl,
    openasl,
    phoenix2014t,
    subtitles,
    wlasl,
)
from cico_platform.corpus.readers.rows import BadRow, Row, Rows
from cico_platform.errors import InputError
from cico_platform.storage import Place

__all__ = ["FORMATS", "BadRow", "Reader", "Row", "Rows", "find_reader", "find_readers", "recognised"]


@dataclass(frozen=True)
class Reader:
    """A format: whether a source is of it, how it is read, and where its videos are if nothing says so."""

    name: str
    sniff: Callable[[Place], bool]
    read: Callable[..., Rows]
    default_videos: Callable[[Place], Place | None] = lambda source: None


def _reader(module: ModuleType) -> Reader:
    known = {"default_videos": module.default_videos} if hasattr(module, "default_videos") else {}
    return Reader(module.NAME, module.sniff, module.read, **known)


# In the order in which "auto" asks: the particular before the general.
MODULES = (
    how2sign, phoenix2014t, openasl, csl_daily, cico_pickle, msasl, wlasl, asl_citizen, subtitles, elan,
    labels, folder,
)  # fmt: skip
READERS: tuple[Reader, ...] = tuple(_reader(module) for module in MODULES)
FORMATS: tuple[str, ...] = ("auto", *(reader.name for reader in READERS))
# Formats whose files lie beside the videos: a folder may hold several of them.
BESIDE = (subtitles.NAME, elan.NAME)


def find_readers(source: Place, name: str = "auto") -> list[Reader]:
    """The reader of a format, or those that "auto" reads a source with.

    That is the first format that recognises the source. A folder with files of several formats that lie
    beside videos is read with each of them.

    Raises
    ------
    InputError
        If the format is not known, the source does not exist, or no format recognises it.
    """
    if name not in FORMATS:
        raise InputError(f"'{name}' is not a corpus format; known are {', '.join(FORMATS)}")
    if not source.exists():
        raise InputError(f"'{source}' does not exist")
    if name != "auto":
        return [reader for reader in READERS if reader.name == name]
    for reader in READERS:
        if reader.sniff(source):
            others = [r for r in READERS if r is not reader and r.name in BESIDE and reader.name in BESIDE]
            return [reader, *(other for other in others if other.sniff(source))]
    if source.suffix.lower() in labels.SUFFIXES and source.is_file():
        labels.read(source)  # says what is missing
    raise InputError(f"'{source}' is of no known corpus format; name it with --format ({', '.join(FORMATS)})")


def find_reader(source: Place, name: str = "auto") -> Reader:
    """The first of `find_readers`."""
    return find_readers(source, name)[0]


def recognised(source: Place) -> bool:
    """Whether a file is an annotation file of some format."""
    return any(reader.sniff(source) for reader in READERS)
