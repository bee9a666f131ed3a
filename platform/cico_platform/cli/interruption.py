"""Ctrl-C and SIGTERM: the verb ends in good order, with one sentence, and leaves no process behind."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

# Those whose work is kept in steps, so that the same command goes on.
RESUMABLE = (
    "demo",
    "mine",
    "features",
    "embed",
    "train",
    "ablate",
    "reproduce",
    "index build",
    "reindex",
    "corpus synthesize",
)
# `docker stop` waits 10 s before it kills; a service may take longer to answer what it has accepted.
PATIENCE_SECONDS = 8.0
PATIENCE_OF_A_SERVICE_SECONDS = 120.0
# `timeout`, for one, sends its signal to the process and to its group: the two are one wish.
SAME_WISH_SECONDS = 1.0
END_OF_PROCESSES_SECONDS = 3.0
PR_SET_CHILD_SUBREAPER = 36


class Interruption:
    """Turns the first SIGINT or SIGTERM into a `KeyboardInterrupt`; the second, or patience, ends at once."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.number = 0  # of the signal, once there was one
        self._came = 0.0
        self._pid = os.getpid()
        self._processes: list[Any] = []
        self._told = False
        self._stderr = os.dup(2)  # while Ray starts, 2 leads nowhere

    def listen(self) -> None:
        """Install the handlers; a signal that is ignored (`nohup`, background jobs) stays ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number

    def finish(self, code: int | str | None) -> int:
        """End every process that was started for the verb; return the exit code.

        A service that was stopped by Ctrl-C, as it is meant to be, ended well; it says so itself.
        """
        ended_well = self.serves and not code
        if not ended_well:
            self.tell()
        self._note_processes()
        ray = sys.modules.get("ray")
        if ray is not None:
            with contextlib.suppress(Exception):  # whatever is left of it is ended below
                ray.shutdown()
        self._end_processes(END_OF_PROCESSES_SECONDS)
        return 0 if ended_well and self.number == signal.SIGINT else self.exit_code

    @property
    def serves(self) -> bool:
        """Whether the verb is a service."""
        return self.arguments[:1] == ["serve"] or "--serve" in self.arguments

    def tell(self) -> None:
        """Say in one sentence what is kept."""
        if self._told:
            return
        self._told = True
        by = " by SIGTERM" if self.number == signal.SIGTERM else ""
        words = " ".join(self.arguments)
        kept = any(f"{words} ".startswith(f"{verb} ") for verb in RESUMABLE)
        goes_on = ": finished work is kept, and the same command goes on from there" if kept else ""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            os.write(self._stderr, f"stopped{by}{goes_on}\n".encode())

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a fork: it ends as if nothing were set
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.number:
            if time.monotonic() - self._came > SAME_WISH_SECONDS:
                self._end_now()
            return
        self.number, self._came = number, time.monotonic()
        self._note_processes()
        patience = PATIENCE_OF_A_SERVICE_SECONDS if self.serves else PATIENCE_SECONDS
        watch = threading.Timer(patience, self._end_now)
        watch.daemon = True
        watch.start()
        raise KeyboardInterrupt

    def _note_processes(self) -> None:
        """Remember all descendants: a child of one that dies is no longer among them."""
        with contextlib.suppress(Exception):  # a signal may come while psutil itself is being imported
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # Linux: those whose parent dies become ours
        with contextlib.suppress(Exception):
            import psutil

            self._processes += psutil.Process().children(recursive=True)

    def _end_processes(self, patience: float) -> None:
        """Wait a moment for the descendants to end, then kill what is left of them."""
        with contextlib.suppress(Exception):
            import psutil

            self._note_processes()
            _, alive = psutil.wait_procs(set(self._processes), timeout=patience)
            for process in {*alive, *psutil.Process().children(recursive=True)}:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(alive, timeout=1.0)

    def _end_now(self) -> None:
        self.tell()
        self._end_processes(0.0)
        os._exit(self.exit_code)
