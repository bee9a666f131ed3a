"""Files of feedback: a folder with one file a process that appends to it; read, and cleared of some clips."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import ValidationError

from cico_platform.errors import InputError
from cico_platform.schemas.feedback import MAX_LINE, Judgement

PREFIX, SUFFIX = "feedback-", ".jsonl"


class Line(NamedTuple):
    """A line of a file, and what it says; None if it is no judgement."""

    raw: bytes
    judgement: Judgement | None


class Withdrawn(NamedTuple):
    """How many files were changed, and how many lines removed: of clips that are gone, and unreadable."""

    files: int
    lines: int
    unreadable: int


def feedback_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files themselves, and those of folders, each once.

    Raises
    ------
    InputError
        If a path is neither, or a folder holds no feedback.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(path.glob(f"{PREFIX}*{SUFFIX}"))
            if not inside:
                raise InputError(f"the folder '{path}' holds no feedback ({PREFIX}*{SUFFIX})")
            found |= dict.fromkeys(inside)
        elif path.is_file():
            found[path] = None
        else:
            raise InputError(f"there is no feedback at '{path}': name files or folders of feedback")
    return list(found)


def read_lines(file: IO[bytes]) -> Iterator[Line]:
    """The lines of a file, those that are no judgements too; a longer line than any judgement is cut."""
    while raw := file.readline(MAX_LINE + 1):
        whole = raw
        while not raw.endswith(b"\n") and (raw := file.readline(MAX_LINE + 1)):
            whole = whole[:1]  # of a line that long nothing is kept
        if whole.strip():
            yield Line(whole, _judgement(whole))


@contextmanager
def locked(path: Path, flags: int) -> Iterator[int]:
    """The file of this name, opened, while nobody else appends to it or replaces it."""
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def withdraw(paths: Sequence[str | Path], is_gone: Callable[[str], bool]) -> Withdrawn:
    """Remove the judgements of clips that are gone from files, while services may append to them.

    A line that is no judgement may name such a clip, and is removed.

    Raises
    ------
    InputError
        As of `feedback_files`.
    """
    changed, lines, unreadable = set[Path](), 0, 0
    again = True
    while again:  # a service may rename a file that is full meanwhile
        again = False
        for path in feedback_files(paths):
            try:
                gone, broken = _clear(path, is_gone)
            except FileNotFoundError:
                gone = broken = 0
                again = True
            if gone or broken:
                changed.add(path)
                again = True
            lines += gone
            unreadable += broken
    return Withdrawn(len(changed), lines, unreadable)


def _clear(path: Path, is_gone: Callable[[str], bool]) -> tuple[int, int]:
    """Remove judgements of clips that are gone, and lines that are none; returns how many of each."""
    kept, gone, broken = list[bytes](), 0, 0
    with locked(path, os.O_RDWR) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
        for line in read_lines(file):
            if line.judgement is None:
                broken += 1
            elif is_gone(line.judgement.video_id):
                gone += 1
            else:
                kept.append(line.raw)
        if gone or broken:
            _replace(path, kept)
    return gone, broken


def _judgement(raw: bytes) -> Judgement | None:
    try:
        return Judgement.model_validate_json(raw)
    except ValidationError:
        return None


def _replace(path: Path, lines: Sequence[bytes]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(line if line.endswith(b"\n") else line + b"\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
