"""Failures that are the machine's, not the program's: told in a sentence, never as a traceback."""

import errno
import re
from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG)
# Errors come from workers, and from libraries without Python's numbers, as text.
FULL_WORDS = re.compile(
    r"No space left on device|os error 28\b|Errno 28\b|Disk quota exceeded", re.IGNORECASE
)
QUOTED = re.compile(r"""(?:No space left on device|Disk quota exceeded)[^'"\n]*['"]([^'"\n]+)['"]""")


def sentence(error: BaseException) -> str | None:
    """Return what to tell a person of an error, or nothing where it may be a bug.

    Parameters
    ----------
    error
        What a verb raised.
    """
    from cico_platform.errors import CicoError

    for each in _chain(error):
        if (isinstance(each, OSError) and each.errno in FULL) or FULL_WORDS.search(str(each)):
            found = QUOTED.search(str(each))
            where = (isinstance(each, OSError) and each.filename) or (found and found[1])
            at = f" at {where}" if where else ""
            return f"the disk is full{at}; free some space and give the command again"
    if isinstance(error, CicoError):
        return str(error)
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in REFUSED and each.filename:
            return f"'{each.filename}' cannot be used: {(each.strerror or '').lower()}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it came of; a task's error of Ray has its own under `cause`."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [getattr(each, "cause", None), each.__cause__, each.__context__]
