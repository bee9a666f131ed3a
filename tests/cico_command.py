"""`cico` in this process: what a command prints, and the code that it ends with."""

import signal
import sys
from dataclasses import dataclass

import pytest

from cico_platform.cli.entry import run


@dataclass(frozen=True)
class Ended:
    """As `subprocess.CompletedProcess` tells it."""

    returncode: int
    stdout: str
    stderr: str


class Cico:
    """Runs commands through the entry point of `cico`, without a process and a Ray for each.

    File descriptors are captured, so that what native code prints is seen as well.
    """

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture

    def __call__(self, *arguments: object) -> Ended:
        """Run `cico` with these arguments; anything but an exit is raised."""
        self.capture.readouterr()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["cico", *map(str, arguments)])
                with pytest.raises(SystemExit) as ended:
                    run()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        printed = self.capture.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else int(code is not None), printed.out, printed.err)
