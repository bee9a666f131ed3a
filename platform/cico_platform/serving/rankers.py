"""Rankers of a node: processes that score candidates, reached over Unix sockets.

Scoring takes most of the CPU time of a search, and threads of one process hold each other up at it.
"""

import logging
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from cico_platform.errors import CicoError
from cico_platform.index.candidate_ranking import Candidates, Comparison, Scored, score_candidates
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.deadlines import remaining
from cico_platform.index.token_store.records import Storage
from cico_platform.serving.replica_sockets import SUFFIX, private_folder, remove_left_over, sockets
from cico_platform.serving.scaling import BusyShare
from cico_platform.storage import place

FOLDER = "rankers"
TABLES_KEPT = 4
LOOK_SECONDS = 1.0
# Longest that a ranker may take where a search has no deadline of its own.
SECONDS = 30.0
Failed = (OSError, EOFError)


@dataclass(frozen=True)
class Work:
    """Request to a ranker: the place of the tokens, and the candidates to score."""

    folder: str
    dim: int
    storage: Storage
    candidates: Candidates
    how: Comparison


def ranker_folder(node: Path) -> Path:
    """Return the folder of a node's rankers, which only this user can use; errors as of `private_folder`."""
    return private_folder(node / FOLDER)


class RankerServer:
    """Scores candidates for the processes of this node, a thread a connection, until it is closed."""

    def __init__(self, folder: Path) -> None:
        remove_left_over(folder)
        self.path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        self._tables: OrderedDict[tuple[str, int, Storage], CollectionTokens] = OrderedDict()
        self._lock, self._busy = threading.Lock(), BusyShare()
        self._listener = Listener(str(self.path), "AF_UNIX", backlog=64)
        threading.Thread(target=self._accept, name="rankers", daemon=True).start()

    def score(self, work: Work) -> Scored:
        """Score the candidates that live."""
        with self._lock:
            self._busy.begin(time.monotonic())
        try:
            return score_candidates(self._table(work), work.candidates, work.how)
        finally:
            with self._lock:
                self._busy.end(time.monotonic())

    def load(self) -> float:
        """Return the share of the time since the last call in which candidates were scored."""
        with self._lock:
            return self._busy.since(time.monotonic())

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.close()
        self.path.unlink(missing_ok=True)

    def _table(self, work: Work) -> CollectionTokens:
        key = (work.folder, work.dim, work.storage)
        with self._lock:
            if key not in self._tables:
                self._tables[key] = CollectionTokens(place(work.folder), work.dim, work.storage)
                if len(self._tables) > TABLES_KEPT:
                    # Whoever still reads from it opens its files again.
                    self._tables.popitem(last=False)[1].close()
            self._tables.move_to_end(key)
            return self._tables[key]

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection, suppress(*Failed):
            while True:
                work: Work = connection.recv()
                try:
                    answer: Scored | str = self.score(work)
                except Exception as error:  # whoever asks tries it itself, and says what is wrong
                    logging.getLogger(__name__).warning("candidates could not be scored", exc_info=True)
                    answer = str(error)
                connection.send(answer)


class _Ranker:
    """A ranker, and the connections to it that nobody uses at the moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.busy = 0
        self.idle: list[Connection] = []


class Rankers:
    """The rankers of this node, asked from any thread; without one, candidates are scored here.

    A ranker that is lost costs nothing: another one is asked, for scoring changes nothing.

    Parameters
    ----------
    folder
        Returns the folder of their sockets.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._find_folder = folder
        self._rankers: dict[Path, _Ranker] = {}
        self._lock = threading.Lock()
        self._look_at = 0.0

    def score(self, table: CollectionTokens, candidates: Candidates, how: Comparison) -> list[Scored]:
        """Score all candidates that live.

        Raises
        ------
        CicoError
            If a ranker does not answer in the time that the search has.
        """
        work = Work(str(table.folder), table.dim, table.storage, candidates, how)
        while (ranker := self._take()) is not None:
            try:
                answer = self._ask(ranker, work)
            except Failed:
                self._forget(ranker)
                continue
            finally:
                with self._lock:
                    ranker.busy -= 1
            if isinstance(answer, Scored):
                return [answer]
            break
        return [score_candidates(table, candidates, how)]

    def __len__(self) -> int:
        """Return how many rankers there are."""
        with self._lock:
            self._look()
            return len(self._rankers)

    def close(self) -> None:
        """Close all connections that nobody uses."""
        with self._lock:
            for ranker in self._rankers.values():
                _close(ranker)
            self._rankers.clear()

    def _take(self) -> _Ranker | None:
        """The ranker with least to do."""
        with self._lock:
            self._look()
            if not self._rankers:
                return None
            ranker = min(self._rankers.values(), key=lambda one: one.busy)
            ranker.busy += 1
            return ranker

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        try:
            found = set(sockets(self._find_folder()))
        except OSError:
            found = set()
        for path in self._rankers.keys() - found:
            _close(self._rankers.pop(path))
        for path in found - self._rankers.keys():
            self._rankers[path] = _Ranker(path)

    def _ask(self, ranker: _Ranker, work: Work) -> Scored | str:
        with self._lock:
            connection = ranker.idle.pop() if ranker.idle else None
        connection = connection or Client(str(ranker.path), "AF_UNIX")
        try:
            connection.send(work)
            left = remaining()
            if not connection.poll(SECONDS if left is None else left):
                raise CicoError("the candidates were not ranked in time; try again")
            answer: Scored | str = connection.recv()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            ranker.idle.append(connection)
        return answer

    def _forget(self, ranker: _Ranker) -> None:
        """Ask it no more until the next look."""
        with self._lock:
            if self._rankers.pop(ranker.path, None) is not None:
                _close(ranker)


def _close(ranker: _Ranker) -> None:
    for connection in ranker.idle:
        connection.close()
    ranker.idle.clear()
