"""Whether a video file breaks off, by what its container says of sizes; nothing is decoded."""

import struct
from collections.abc import Callable, Set
from pathlib import Path
from typing import BinaryIO

import fsspec

MOST_ELEMENTS = 200_000
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
TAIL = 1 << 16


def breaks_off(path: str, names: Set[str]) -> bool:
    """Whether the end of a file is missing.

    Parameters
    ----------
    path
        A file, or a URL that fsspec opens.
    names
        Names of the container's format. False for formats that do not tell (program streams, raw video).
    """
    check = next((check for name, check in CHECKS.items() if name in names), None)
    if check is None:
        return False
    try:
        with fsspec.open(path, "rb") if "://" in path else Path(path).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            return check(file, size)
    except (OSError, ValueError, struct.error):
        return False


def _boxes(file: BinaryIO, size: int) -> bool:
    """MP4 and QuickTime: a box at the top reaches beyond the end."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return True
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # to the end of the file
            return False
        if length < 8 or not head[4:8].isascii():
            return False
        at += length
    return at > size


def _elements(file: BinaryIO, size: int) -> bool:
    """Matroska and WebM: an element reaches beyond the end; one of unknown length is looked into."""
    at = 0
    for _ in range(MOST_ELEMENTS):
        if at >= size:
            return at > size
        file.seek(at)
        head = file.read(12)
        if not head[0]:  # padding
            return False
        _, name_length = _number(head, marked=True)
        length, length_length = _number(head[name_length:], marked=False)
        if not name_length or not length_length:
            return True
        unknown = length == (1 << 7 * length_length) - 1
        at += name_length + length_length + (0 if unknown else length)
    return False


def _number(data: bytes, marked: bool) -> tuple[int, int]:
    """A number of EBML and its length in bytes; `(0, 0)` where there is none."""
    if not data or not data[0]:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if marked else value & ((1 << 7 * length) - 1)), length


def _riff(file: BinaryIO, size: int) -> bool:
    """AVI: a RIFF chunk reaches beyond the end."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return False
        at += 8 + length + length % 2
    return at > size + 1


def _tags(file: BinaryIO, size: int) -> bool:
    """FLV: the file does not end with the size of its last tag."""
    file.seek(max(0, size - 4))
    length = int.from_bytes(file.read(4), "big")
    start = size - 4 - length
    if length < 11 or start < 9:
        return True
    file.seek(start)
    head = file.read(4)
    return head[0] & 0x1F not in (8, 9, 18) or int.from_bytes(head[1:4], "big") + 11 != length


def _asf(file: BinaryIO, size: int) -> bool:
    """ASF and WMV: the header tells the size of the file."""
    head = file.read(TAIL)
    at = head.find(ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return False
    live = head[at + 88] & 1
    return not live and int.from_bytes(head[at + 40 : at + 48], "little") > size


def _pages(file: BinaryIO, size: int) -> bool:
    """Ogg: the last page reaches beyond the end."""
    file.seek(max(0, size - TAIL - 512))
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return True
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    return len(segments) < tail[at + 26] or at + 27 + len(segments) + sum(segments) > len(tail)


def _transport(file: BinaryIO, size: int) -> bool:
    """MPEG transport stream: the last packet is not whole."""
    head = file.read(2 * 204)
    for length, sync in ((188, 0), (192, 4), (204, 0)):
        if len(head) > sync + length and head[sync] == 0x47 == head[sync + length]:
            return size % length != 0
    return False


def _gif(file: BinaryIO, size: int) -> bool:
    """GIF: the trailer is missing."""
    file.seek(max(0, size - 64))
    return not file.read().rstrip(b"\0").endswith(b";")


CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mov": _boxes,
    "matroska": _elements,
    "avi": _riff,
    "flv": _tags,
    "asf": _asf,
    "ogg": _pages,
    "mpegts": _transport,
    "gif": _gif,
}
