"""Feedback on results: checked, bounded, appended to this process' own file in the operator's folder."""

import logging
import math
import os
import socket
from pathlib import Path

from cico_platform.errors import InputError
from cico_platform.index.feedback_files import PREFIX, SUFFIX, locked
from cico_platform.schemas.feedback import Judgement
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.rates import OwnRates
from cico_platform.serving.settings import ServiceSettings

# Full files that are kept beside the one that is appended to; the oldest goes.
KEPT = 3


class FeedbackWriter:
    """Appends judgements; several replicas and services of one process never mix up their lines.

    Raises
    ------
    InputError
        If the folder can't be written to.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        assert settings.feedback is not None
        self.folder, self.settings = Path(settings.feedback), settings
        check_folder(self.folder)
        name = "".join(c if c.isalnum() else "_" for c in socket.gethostname())[:48]
        self.file = self.folder / f"{PREFIX}{name}-{os.getpid()}{SUFFIX}"
        self._rates = OwnRates(max(1, math.ceil(settings.feedback_per_minute / 2)))

    def admit(self, client: str) -> None:
        """Count a judgement of a client.

        Raises
        ------
        ProblemError
            429 if it sends too many.
        """
        rate = self.settings.feedback_per_minute
        if wait := self._rates.take(client, rate):
            raise ProblemError(
                429, f"at most {rate:g} judgements a minute are taken", retry_after=max(1, math.ceil(wait))
            )

    def write(self, judgement: Judgement) -> None:
        """Append a line.

        Raises
        ------
        ProblemError
            503 if it can't be written.
        """
        line = judgement.model_dump_json().encode() + b"\n"
        try:
            while True:
                with locked(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as descriptor:
                    size = os.fstat(descriptor).st_size
                    if not size or size + len(line) <= self.settings.feedback_bytes:
                        _write_all(descriptor, line, size)
                        return
                    self._rotate()
        except OSError as error:
            logging.getLogger(__name__).warning("feedback can't be written to '%s': %s", self.folder, error)
            raise ProblemError(503, "the judgement can't be kept at the moment; try again") from None

    def _rotate(self) -> None:
        """Give the file that is full its number; the oldest is removed."""
        oldest = self._numbered(KEPT)
        if oldest.exists():
            logging.getLogger(__name__).warning("the oldest feedback is removed: '%s'", oldest)
        for number in range(KEPT, 0, -1):
            older = self._numbered(number - 1) if number > 1 else self.file
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.file.with_name(f"{self.file.stem}.{number}{SUFFIX}")


def check_folder(folder: Path) -> None:
    """Make the folder if need be.

    Raises
    ------
    InputError
        If it can't be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"feedback can't be written to '{folder}': {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"feedback can't be written to '{folder}': permission denied")


def _write_all(descriptor: int, line: bytes, size: int) -> None:
    """Append a whole line, or nothing."""
    written = os.write(descriptor, line)
    if written < len(line):
        os.ftruncate(descriptor, size)
        raise OSError("no space is left")
