"""Subtitle files as people and programs write them, made into the WebVTT that they mean.

A parser leaves out what breaks the format: text after an empty line, a line that holds an arrow, a cue
without an empty line before it. Here such parts are joined to their cue, and repairs are counted.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from cico_platform.corpus.readers.webvtt_headers import (
    HEADER,
    Header,
    clock_difference,
    find_headers,
    without_marks,
)

WHOLE, FRACTION = r"(?:\d+:)?\d{1,2}:\d{1,2}", r"[.,]\d{1,6}"
TIMING = re.compile(rf"^\s*({WHOLE}(?:{FRACTION})?)\s*-->\s*({WHOLE}(?:{FRACTION})?)(?:\s.*)?$")
# Other arrows are seen too; where they stand between whole seconds, they may be text.
ARROWS = r"(?:->|--->|- ->|→|–>|—>)"
ODD_TIMING = re.compile(rf"^\s*({WHOLE}{FRACTION})\s*{ARROWS}\s*({WHOLE}{FRACTION})(?:\s.*)?$")
# An arrow with something like a time on either side is meant as times; any other arrow is text.
BROKEN_TIMING = re.compile(r"^\s*[\d.,;]*\d:[\d:.,;]*\s*-->|-->\s*\d[\d.,;]*:[\d:.,;]*(\s|$)")
NUMBER = re.compile(r"\s*\d{1,9}\s*")
NO_CUE = re.compile(r"^(NOTE|STYLE|REGION)(\s|$)")
EMPTY_LINE = "cue with an empty line in it: the text after that line was kept"
ARROW = "text with an arrow that is no time: it was kept"
NO_HEADER = "WebVTT file without the line WEBVTT: it was read all the same"
TIMESTAMP_MAP = "file with X-TIMESTAMP-MAP: the map was not applied, times are the player's"
JOINED = "WebVTT header in the middle of a file: the segments are taken for one"


@dataclass
class Repaired:
    """WebVTT text whose cues are all well formed.

    Attributes
    ----------
    text
        The WebVTT.
    lines
        The line in the file (from 1) at which each cue's times stand, in order.
    shifts
        Seconds to add to each cue's times, so that all are on the clock of the first.
    origin
        Where that clock's 0 lies on MPEG's clock, in seconds; None if the file does not say.
    broken
        Lines whose times cannot be read.
    notes
        What was repaired, and how often.
    """

    text: str = ""
    lines: list[int] = field(default_factory=list)
    shifts: list[float] = field(default_factory=list)
    origin: float | None = None
    broken: list[int] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def repair(text: str, named_webvtt: bool) -> Repaired:
    """Make a SubRip or WebVTT file well-formed WebVTT.

    Parameters
    ----------
    text
        The file, decoded.
    named_webvtt
        Whether its name says that it is WebVTT; the first line decides.
    """
    lines = [without_marks(line) for line in re.split(r"\r\n|\n|\r", text.lstrip("\ufeff"))]
    first = next((line for line in lines if line.strip()), "")
    webvtt = first.lstrip().startswith(HEADER)
    made = Repaired()
    if named_webvtt and not webvtt:
        made.notes[NO_HEADER] += 1
    headers = find_headers(lines) if webvtt else []
    _read_headers(headers, made)
    for header in headers:
        lines[header.start : header.stop] = [""] * (header.stop - header.start)
    starts = [i for i in range(len(lines)) if _begins_cue(lines, i, webvtt)]
    indexed = _has_numbers(lines, starts)
    if starts and not webvtt:
        lines = _without_last_number(lines, starts[-1])
    out = [HEADER]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        timing = _timing(lines[start])
        if timing is None:
            made.broken.append(start + 1)
            continue
        last = number + 1 == len(starts)
        payload = _payload(lines[start + 1 : end], webvtt, indexed, last)
        made.lines.append(start + 1)
        made.shifts.append(_shift(headers, start))
        out += ["", timing, *_well_formed(payload, made.notes)]
    made.text = "\n".join(out) + "\n"
    return made


def _read_headers(headers: list[Header], made: Repaired) -> None:
    """Count what headers say that cannot be followed; the first map gives the file's clock."""
    made.origin = next((header.origin for header in headers if header.origin is not None), None)
    made.notes[JOINED] += max(len(headers) - 1, 0)
    made.notes[TIMESTAMP_MAP] += any(header.unreadable for header in headers)
    made.notes += Counter()  # without what was never counted


def _shift(headers: list[Header], line: int) -> float:
    """Seconds from the clock of the first header that has a map to that of the last one above a line."""
    origins = [h.origin for h in headers if h.origin is not None]
    above = [h.origin for h in headers if h.origin is not None and h.start < line]
    return clock_difference(above[-1], origins[0]) if above else 0.0


def _has_numbers(lines: list[str], starts: list[int]) -> bool:
    """Whether the cues of a SubRip file are numbered: the first is, or most of them are, one by one."""
    at = [_index_before(lines, start) for start in starts]
    offsets = Counter(int(lines[i]) - n for n, i in enumerate(at) if i is not None)
    return bool(at) and (at[0] is not None or 2 * max(offsets.values(), default=0) > len(starts))


def _begins_cue(lines: list[str], at: int, webvtt: bool) -> bool:
    """Whether a line gives a cue's times, readable or not."""
    line = lines[at]
    if _timing(line) or BROKEN_TIMING.search(line):
        return True
    if "-->" not in line:
        return False
    if webvtt and (at == 0 or not lines[at - 1]):  # the first line of a block
        return True
    return at > 0 and bool(NUMBER.fullmatch(lines[at - 1])) and (at == 1 or not lines[at - 2].strip())


def _timing(line: str) -> str | None:
    """A line of times as WebVTT writes it, without cue settings; None if it is none."""
    match = TIMING.match(line) or ODD_TIMING.match(line)
    if match is None:
        return None
    times = [_webvtt_time(part) for part in match.groups()]
    return None if None in times else " --> ".join(str(time) for time in times)


def _webvtt_time(written: str) -> str | None:
    whole, _, fraction = written.replace(",", ".").partition(".")
    parts = [int(part) for part in whole.split(":")]
    if max(parts[-2:]) > 59 or len(whole) > 15:
        return None
    hours, minutes, seconds = [0, *parts][-3:]
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{fraction[:3].ljust(3, '0')}"


def _payload(lines: list[str], webvtt: bool, indexed: bool, last: bool) -> list[str]:
    """The lines of a cue's text, of all lines up to the next cue's times."""
    lines = list(lines)
    if webvtt:
        lines = _without_blocks(lines)
    if not last:
        lines = _without_identifier(lines, webvtt, indexed)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _without_last_number(lines: list[str], start: int) -> list[str]:
    """Lines without the number of a cue that is not there any more, after the last one (at `start`)."""
    own, after = _index_before(lines, start), _index_before(lines, len(lines))
    if own is None or after is None or after <= start or lines[after - 1].strip():
        return lines
    return lines[:after] if int(lines[after]) == int(lines[own]) + 1 else lines


def _without_blocks(lines: list[str]) -> list[str]:
    """Lines without comments, styles and regions: these begin after an empty line and end at the next one."""
    kept: list[str] = []
    inside = False
    for before, line in zip(["x", *lines], lines, strict=False):
        inside = bool(line) and (inside or (not before and NO_CUE.match(line) is not None))
        if not inside:
            kept.append(line)
    return kept


def _without_identifier(lines: list[str], webvtt: bool, indexed: bool) -> list[str]:
    """Lines without the name or number of the cue that follows them."""
    end = len(lines)
    if not webvtt:  # a number, even if empty lines stand between it and the times
        at = _index_before(lines, end) if indexed else None
        return lines if at is None else lines[:at]
    if not end or not lines[-1]:
        return lines
    alone = end == 1 or not lines[-2]
    # WebVTT's identifier follows an empty line. Where that line is missing, a number is an identifier.
    return lines[:-1] if (alone and end > 1) or NUMBER.fullmatch(lines[-1]) else lines


def _index_before(lines: list[str], at: int) -> int | None:
    """Return the line that holds the number of the cue whose times are in a given line."""
    while at > 0 and not lines[at - 1].strip():
        at -= 1
    return at - 1 if at > 0 and NUMBER.fullmatch(lines[at - 1]) else None


def _well_formed(payload: list[str], notes: Counter[str]) -> list[str]:
    """Text lines that neither end the cue nor begin another."""
    filled = [i for i, line in enumerate(payload) if line.strip()]
    if any(not payload[i].strip() for i in range(filled[0], filled[-1])) if filled else False:
        notes[EMPTY_LINE] += 1
    if any("-->" in line for line in payload):
        notes[ARROW] += 1
    return [line.replace("-->", "--&gt;") if line else " " for line in payload]
