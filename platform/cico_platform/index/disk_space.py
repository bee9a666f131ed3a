"""Space on the disk of an embedded index, looked at before it is written."""

import shutil
from pathlib import Path

from cico_platform.errors import CicoError

# The engine maps sparse files of up to 190 MiB a collection, and its bulk writes take more for a while.
RESERVE_BYTES = 256 << 20


def check_space(folder: Path) -> None:
    """Refuse to write where the disk is nearly full.

    The engine writes through memory maps: on a full disk the system would end this process (SIGBUS), in the
    middle of a write and without an error that could be told.

    Raises
    ------
    CicoError
        If fewer than `RESERVE_BYTES` are free.
    """
    free = shutil.disk_usage(folder).free
    if free < RESERVE_BYTES:
        raise CicoError(
            f"the disk is full at '{folder}': {free >> 20} MiB are free, and an index needs "
            f"{RESERVE_BYTES >> 20} MiB to be written; free some space and give the command again"
        )
