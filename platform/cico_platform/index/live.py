"""What is live, for a process that stays: a moved alias is noticed, and what it names swapped in."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from cico_platform.errors import CicoError
from cico_platform.index.base import open_index
from cico_platform.index.ranking import Stages
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import DEFAULT_ALIAS
from cico_platform.index.texts import open_whole

CHECK_SECONDS = 2.0
TRIES = 5


class Closable(Protocol):
    """What can be let go of."""

    def close(self) -> None:
        """Let go."""


Held = TypeVar("Held", bound=Closable)


class Swappable(Generic[Held]):
    """One thing that many threads use, replaced at once; the old one is closed when its last user is done.

    Whoever uses it sees one thing from beginning to end, never half of the old and half of the new.
    """

    def __init__(self, held: Held) -> None:
        self._held, self._users = held, 0
        self._leaving: dict[int, tuple[Held, int]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[Held]:
        """The thing as it is now, for as long as the block lasts."""
        with self._lock:
            held = self._held
            self._users += 1
        try:
            yield held
        finally:
            self._leave(held)

    def replace(self, new: Held) -> None:
        """From now on the new one is used."""
        with self._lock:
            old, users = self._held, self._users
            self._held, self._users = new, 0
            if users:
                self._leaving[id(old)] = (old, users)
        if not users:
            old.close()

    def close(self) -> None:
        """Let go of what is used now, and of what is still leaving."""
        with self._lock:
            rest = [self._held, *(old for old, _ in self._leaving.values())]
            self._leaving.clear()
        for held in rest:
            held.close()

    def _leave(self, held: Held) -> None:
        last = None
        with self._lock:
            if held is self._held:
                self._users -= 1
            elif id(held) in self._leaving:
                users = self._leaving.pop(id(held))[1] - 1
                if users:
                    self._leaving[id(held)] = (held, users)
                else:
                    last = held
        if last is not None:
            last.close()


def watch_alias(
    live: Callable[[], str | None],
    known: str,
    swap: Callable[[str], str],
    stop: threading.Event,
    seconds: float,
) -> None:
    """Call `swap` whenever another collection is live than the one that is known, until told to stop.

    Parameters
    ----------
    live
        The collection that is live.
    known
        The one that is open.
    swap
        Opens what is live and returns its name. If it fails, for its builder may not have let go of it yet,
        what is open stays, and it is tried again.
    """
    while not stop.wait(seconds):
        try:
            name = live()
            if name is not None and name != known:
                known = swap(name)
        except Exception as error:  # whatever it is, what is open goes on answering
            logging.getLogger(__name__).warning("the new collection can't be opened yet: %s", error)


class LiveSearcher:
    """A searcher that follows the alias: model and vectors change together, and no search fails for it.

    Parameters
    ----------
    location
        Path or URL of an index.
    seconds
        How often the alias is looked at.

    Examples
    --------
    >>> with LiveSearcher("demo/index") as live, live.use() as searcher:  # doctest: +SKIP
    ...     searcher.by_text("the boy reads a book")
    """

    def __init__(
        self,
        location: str | Path,
        alias: str = DEFAULT_ALIAS,
        stages: Stages | None = None,
        seconds: float = CHECK_SECONDS,
    ) -> None:
        self._open = partial(open_live, location, alias, stages)
        first = self._open()
        self._swappable = Swappable(first)
        self.use = self._swappable.use
        self._aliases = open_index(str(location), must_exist=True)
        self._stop = threading.Event()
        self._watcher = threading.Thread(
            target=watch_alias,
            args=(lambda: self._aliases.alias(alias), first.info.collection, self._swap, self._stop, seconds),
            daemon=True,
        )
        self._watcher.start()

    def _swap(self, name: str) -> str:
        new = self._open()
        self._swappable.replace(new)
        return new.info.collection

    def close(self) -> None:
        """Stop watching and let go of the index."""
        self._stop.set()
        self._watcher.join()
        self._swappable.close()
        self._aliases.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_live(location: str | Path, alias: str = DEFAULT_ALIAS, stages: Stages | None = None) -> Searcher:
    """Open what is live and everything that it answers with; an alias that moves meanwhile is followed.

    Raises
    ------
    CicoError
        If nothing is live, or another process has it open.
    """
    with open_index(str(location), must_exist=True) as aliases:
        for _ in range(TRIES):
            before = aliases.alias(alias)
            try:
                searcher = _open_searcher(location, alias, stages)
            except (CicoError, OSError):
                if aliases.alias(alias) == before:
                    raise
                continue
            if aliases.alias(alias) == searcher.info.collection:
                return searcher
            searcher.close()
    raise CicoError(f"what is live as '{alias}' in '{location}' changes faster than it can be opened")


def _open_searcher(location: str | Path, alias: str, stages: Stages | None) -> Searcher:
    searcher = Searcher.open(location, alias, stages)
    try:
        open_whole(searcher.index, searcher.info.collection)  # from here on no one can remove it
    except BaseException:
        searcher.close()
        raise
    return searcher
