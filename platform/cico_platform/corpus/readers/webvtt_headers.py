"""Headers of WebVTT, which stand in the middle of a file where segments of a stream were joined."""

import re
from dataclasses import dataclass

HEADER = "WEBVTT"
HEADER_LINE = re.compile(rf"{HEADER}([ \t].*)?")
# A line of a header, as streams (`X-TIMESTAMP-MAP=…`) and YouTube (`Kind: captions`) write it.
FIELD = re.compile(r"[A-Za-z][\w-]*\s*[:=]")
TIMESTAMP_MAP = re.compile(r"X-TIMESTAMP-MAP\s*=\s*(.*)", re.IGNORECASE)
LOCAL = re.compile(r"LOCAL\s*:\s*(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?", re.IGNORECASE)
MPEGTS = re.compile(r"MPEGTS\s*:\s*(\d{1,12})", re.IGNORECASE)
# MPEG's clock ticks 90,000 times a second and starts anew after 2^33 ticks.
TICKS, PERIOD = 90_000, 2**33 / 90_000
# Marks that programs leave at the beginning of a file or of a line.
MARKS = "\ufeff\u200b\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069"


@dataclass(frozen=True)
class Header:
    """A header: its first line and the one after its last.

    `origin` is where its cues' time 0 lies on MPEG's clock, in seconds; None if the header does not say.
    `unreadable` tells that it has a map of timestamps that cannot be read.
    """

    start: int
    stop: int
    origin: float | None
    unreadable: bool


def find_headers(lines: list[str]) -> list[Header]:
    """The headers of a WebVTT file. One in the middle follows an empty line, or has only fields below it."""
    found: list[Header] = []
    stop = 0
    for at, line in enumerate(lines):
        if at < stop or not HEADER_LINE.fullmatch(line.strip()):
            continue
        begins = at == 0 or not lines[at - 1].strip()
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if not begins and (line.strip() != HEADER or (following.strip() and not FIELD.match(following))):
            continue
        stop = next((i for i in range(at + 1, len(lines)) if _ends_header(lines[i])), len(lines))
        found.append(Header(at, stop, *_origin(lines[at:stop])))
    return found


def _ends_header(line: str) -> bool:
    return not line.strip() or "-->" in line


def _origin(lines: list[str]) -> tuple[float | None, bool]:
    written = next((match[1] for line in lines if (match := TIMESTAMP_MAP.search(line))), None)
    if written is None:
        return None, False
    local, ticks = LOCAL.search(written), MPEGTS.search(written)
    if local is None or ticks is None:
        return None, True
    hours, minutes, seconds = (int(part or 0) for part in local.groups()[:3])
    shown = 3600 * hours + 60 * minutes + seconds + float(f"0.{local[4] or 0}")
    return int(ticks[1]) / TICKS - shown, False


def clock_difference(moment: float, other: float) -> float:
    """Seconds from one moment on MPEG's clock to another; the clock may have started anew in between.

    >>> clock_difference(10.0, 95443.0) < 100
    True
    """
    return (moment - other + PERIOD / 2) % PERIOD - PERIOD / 2


def without_marks(line: str) -> str:
    """A line without the marks before a number, a time or a header; what is text stays as it is."""
    bare = line.lstrip(MARKS)
    return bare if bare[:1].isdecimal() or bare.startswith(HEADER) else line
