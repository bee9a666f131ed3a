"""A collection of an embedded index has one owner process at a time, the index one writer."""

import contextlib
import fcntl
import os
import time
from io import TextIOWrapper
from pathlib import Path

from cico_platform.errors import CicoError

LOCK_FILE = "lock"


def take_lock(folder: Path, what: str, patience: float = 2.0) -> TextIOWrapper:
    """Become the folder's owner; closing the file that is returned, or dying, gives it up.

    Parameters
    ----------
    what
        What is locked, for people.
    patience
        Seconds to wait for an owner that is just leaving.

    Raises
    ------
    CicoError
        If another process is the owner; it is named.
    """
    file = (folder / LOCK_FILE).open("a+", encoding="utf-8")
    give_up = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() < give_up:
                time.sleep(0.1)
                continue
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise CicoError(
                f"{what} is in use by {owner}; stop that process or ask its API, build beside it with "
                "'cico reindex', or use a Qdrant server (--index http://…)"
            ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()}{_command()}")
    file.flush()
    return file


def _command() -> str:
    with contextlib.suppress(OSError):
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
        # No more of them: further words may name a person.
        names = [Path(word.decode(errors="replace")).name for word in words if word][:3]
        return f" ({' '.join(names)})"
    return ""
