"""Cues of a subtitle file: what is shown when, without tags, rolling captions merged."""

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field, replace

import webvtt

from cico_model.text_cleaning import clean_text, display_text
from cico_model.words import is_unspaced
from cico_platform.corpus.readers.webvtt_repair import repair

# Tags of WebVTT, and those of HTML that subtitles are written with. All else is text ("I <3 you", "a < b").
PLAIN_TAGS = "c|i|b|u|s|ruby|rt|em|strong|strike|big|small|tt|sub|sup|center|blink"
TAGS = re.compile(
    rf"</?(?:{PLAIN_TAGS})(?:\.[^\s<>]*)?\s*/?>"
    r"|</?(?:v|lang)(?:\.[^\s<>]*)?(?:\s[^<>]*)?>"
    r"|</?(?:font|span|p|div|a|c|i|b|u)(?:\s+[\w:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s<>\"']+))*\s*/?>"
    r"|</(?:font|span|p|div|a)\s*>",
    re.IGNORECASE,
)
# How characters are read, written above them: the base says the same.
READING = re.compile(r"<(r[tp])(?:\.[^<>]*)?>.*?(?:</\1>|(?=<r[tp]\b|</ruby)|\Z)", re.IGNORECASE | re.DOTALL)
WORD_TIME = re.compile(r"<(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}>")
LINE_BREAK = re.compile(r"\\[Nn]|<[Bb][Rr]\s*/?>|\n")
ASS_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
HARD_SPACE = "\\h"
# Cues of rolling captions touch; one of this length or less only ends a line's scrolling.
TOUCHING, SHORTEST = 0.1, 0.05
# At least so many of the cues that touch repeat the line before where captions roll.
ROLLING_SHARE = 0.5
REPEATED = "cue with the text and the times of another: it was left out"
ROLLED = "cue of rolling captions that repeats the cue before: only new lines were kept"


@dataclass(frozen=True)
class Cue:
    """A text shown from `start` to `end` (seconds); `line` is its line in the file, from 1."""

    line: int
    number: int
    start: float
    end: float
    lines: tuple[str, ...]
    word_times: bool = False

    @property
    def text(self) -> str:
        """The lines in one."""
        return display_text(" ".join(self.lines))


@dataclass
class Cues:
    """A file's cues in its order, lines whose times cannot be read, and what was repaired or merged.

    `origin` is where the cues' time 0 lies on MPEG's clock, in seconds; None if the file does not say.
    """

    cues: list[Cue] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    origin: float | None = None


def read_cues(text: str, named_webvtt: bool = False) -> Cues:
    """The cues of a WebVTT or SubRip file.

    Parameters
    ----------
    text
        The file, decoded.
    named_webvtt
        Whether its name says that it is WebVTT.

    Examples
    --------
    >>> found = read_cues("1\\n00:00:01,000 --> 00:00:02,500\\n<i>Hello</i>,\\n\\nI <3 you\\n")
    >>> [(cue.start, cue.end, cue.text) for cue in found.cues]
    [(1.0, 2.5, 'Hello, I <3 you')]
    """
    repaired = repair(text, named_webvtt)
    captions = webvtt.from_string(repaired.text).captions
    numbered = enumerate(zip(repaired.lines, captions, repaired.shifts, strict=True), 1)
    cues = [_cue(line, number, caption, shift) for number, (line, caption, shift) in numbered]
    once = _without_repeated(cues)
    if len(once) < len(cues):
        repaired.notes[REPEATED] += len(cues) - len(once)
    merged = merge_rolling(once)
    if merged.repeats:
        repaired.notes[ROLLED] += len(merged.repeats)
    return Cues(merged.cues, repaired.broken, repaired.notes, repaired.origin)


def _without_repeated(cues: list[Cue]) -> list[Cue]:
    """Each cue once: joined segments of a stream repeat the cues that reach into the next segment."""
    known = {(cue.start, cue.end, cue.text): cue for cue in reversed(cues) if cue.text}
    return [cue for cue in cues if not cue.text or known[cue.start, cue.end, cue.text] is cue]


def _cue(line: int, number: int, caption: webvtt.Caption, shift: float) -> Cue:
    raw = caption.raw_text
    shown = tuple(said for part in LINE_BREAK.split(strip_tags(raw)) if (said := display_text(part)))
    start = round(caption.start_time.in_milliseconds() / 1000 + shift, 3)
    end = round(caption.end_time.in_milliseconds() / 1000 + shift, 3)
    return Cue(line, number, start, end, shown, WORD_TIME.search(raw) is not None)


def strip_tags(text: str) -> str:
    """A cue's text without tags; what is no tag stays.

    >>> strip_tags("<v Ana>I <3 <c.red>you</c>, if a < b and c > d")
    'I <3 you, if a < b and c > d'
    """
    plain = READING.sub("", WORD_TIME.sub("", text))
    return TAGS.sub("", ASS_OVERRIDE.sub("", plain)).replace(HARD_SPACE, " ")


@dataclass
class Merged:
    """Cues without repetitions, and those that repeated lines of the cue before."""

    cues: list[Cue]
    repeats: list[Cue]


def merge_rolling(cues: list[Cue]) -> Merged:
    """Merge the cues of rolling captions: each line once, from when it is new.

    Captions roll where most cues that touch begin with the last lines of the cue before, as YouTube's
    automatic captions do. A line that grows word by word becomes one cue. A cue that only repeats prolongs
    the cue before, unless times of words tell when that was said.
    """
    pairs = [(before, cue) for before, cue in itertools.pairwise(cues) if _touch(before, cue)]
    repeating = [cue for before, cue in pairs if _shared(before, cue) or _grown_lines(before, cue)]
    timed = any(cue.word_times for cue in cues)
    alike = [cue for before, cue in pairs if before.lines == cue.lines]
    said_twice = len(repeating) == 1 and alike == repeating and not timed
    if not repeating or said_twice or len(repeating) < ROLLING_SHARE * len(pairs):
        return Merged(cues, [])
    known = {cue.number for cue in repeating}
    kept = cues[:1]
    for before, cue in itertools.pairwise(cues):
        shared, grown = _shared(before, cue), _grown_lines(before, cue)
        if cue.number not in known:
            kept.append(cue)
        elif grown:
            kept[-1] = replace(kept[-1], end=cue.end, lines=(*kept[-1].lines[:-1], *grown))
        elif shared < len(cue.lines):
            kept.append(replace(cue, lines=cue.lines[shared:]))
        elif not timed and cue.end - cue.start > SHORTEST:
            kept[-1] = replace(kept[-1], end=cue.end)
    return Merged(kept, repeating)


def _touch(before: Cue, cue: Cue) -> bool:
    return before.start <= cue.start <= before.end + TOUCHING


def _shared(before: Cue, cue: Cue) -> int:
    """Count the first lines of a cue that repeat the last lines of the cue before."""
    old, new = ([clean_text(line) for line in one.lines] for one in (before, cue))
    return next((count for count in range(min(len(old), len(new)), 0, -1) if old[-count:] == new[:count]), 0)


def _grown_lines(before: Cue, cue: Cue) -> tuple[str, ...]:
    """The lines that the last line of the cue before has grown to; none if it is not continued."""
    old, new = ([clean_text(line) for line in one.lines] for one in (before, cue))
    for count in range(min(len(old), len(new)), 0, -1):
        if old[-count:-1] == new[: count - 1] and _continues(old[-1], new[count - 1]):
            return cue.lines[count - 1 :]
    return ()


def _continues(short: str, long: str) -> bool:
    """Whether a line begins with all words of another, and has more."""
    if len(long) <= len(short) or not long.startswith(short):
        return False
    return is_unspaced(short) or not (long[len(short)].isalnum() and short[-1].isalnum())
