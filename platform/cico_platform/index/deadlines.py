"""How much time a caller still gives: calls to a server take no longer than that."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from cico_platform.errors import CicoError

P = ParamSpec("P")
R = TypeVar("R")
_end: ContextVar[float | None] = ContextVar("cico_deadline", default=None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let the block's calls to a server take so many seconds together; an outer limit that ends first holds.

    >>> with time_limit(60), time_limit(3600):
    ...     (remaining() or 0) <= 60
    True
    """
    end, outer = time.monotonic() + seconds, _end.get()
    token = _end.set(end if outer is None else min(end, outer))
    try:
        yield
    finally:
        _end.reset(token)


def remaining() -> float | None:
    """Seconds that are left, not below 0; None where no one set a limit."""
    end = _end.get()
    return None if end is None else max(0.0, end - time.monotonic())


def check_time() -> None:
    """Stop work that nobody waits for any more.

    Raises
    ------
    CicoError
        If the caller's time is over.
    """
    if remaining() == 0:
        raise CicoError("the time for this search is over")


def limited(seconds: float, work: Callable[P, R]) -> Callable[P, R]:
    """The work under a `time_limit` that begins now, in whichever thread it will run.

    >>> limited(60, remaining)() is None
    False
    """
    end = time.monotonic() + seconds

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with time_limit(max(0.0, end - time.monotonic())):
            return work(*args, **kwargs)

    return run
