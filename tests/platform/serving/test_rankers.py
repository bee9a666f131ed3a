"""Rankers are asked over their sockets; one that is lost or fails costs no answer."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from cico_platform.errors import CicoError
from cico_platform.index.candidate_ranking import Candidates, Comparison, Scored, score_candidates
from cico_platform.index.clips import IndexedClip
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.deadlines import time_limit
from cico_platform.index.token_store.row_numbers import as_rows
from cico_platform.serving.rankers import Rankers, RankerServer, Work, ranker_folder
from cico_platform.serving.replica_sockets import private_folder, sockets

DIM, CLIPS = 8, 20
HOW = Comparison(np.random.default_rng(5).normal(size=(4, DIM)).astype(np.float32), 0.5, 0.07, 6)


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ranker_folder(private_folder(tmp_path_factory.mktemp("n") / "sockets" / "n"))


@pytest.fixture
def table(tmp_path: Path) -> CollectionTokens:
    rng = np.random.default_rng(3)
    table = CollectionTokens(tmp_path / "tokens", DIM)
    table.create()
    clips = [
        IndexedClip(f"c{i}", rng.normal(size=(1 + i % 5, DIM)).astype(np.float32), {}) for i in range(CLIPS)
    ]
    table.commit(table.write(clips), as_rows([]))
    return table


@pytest.fixture
def candidates(table: CollectionTokens) -> Candidates:
    rows = table.living()
    return Candidates(rows, np.linspace(1, 0, len(rows), dtype=np.float32))


def same(one: Scored, other: Scored) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("rows", "likely", "exact")
    )
    return arrays and all(np.array_equal(other.products[row], of) for row, of in one.products.items())


def serve_until_killed(folder: str) -> None:
    RankerServer(Path(folder))
    threading.Event().wait()


@pytest.fixture
def processes(node: Path) -> Iterator[list[BaseProcess]]:
    """Two rankers in processes of their own."""
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=serve_until_killed, args=(str(node),)) for _ in range(2)]
    for process in running:
        process.start()
    while len(sockets(node)) < len(running):
        assert all(process.is_alive() for process in running)
    yield list(running)
    for process in running:
        process.kill()
        process.join()


def test_rankers_answer_what_this_process_would_and_may_be_killed_at_any_time(
    node: Path, table: CollectionTokens, candidates: Candidates, processes: list[BaseProcess]
) -> None:
    here = score_candidates(table, candidates, HOW)
    assert len(here.products) == HOW.shown
    rankers = Rankers(lambda: node)
    assert len(rankers) == len(processes)

    def ask(number: int) -> bool:
        if number in (40, 80):
            os.kill(processes.pop().pid or 0, signal.SIGKILL)
        (scored,) = rankers.score(table, candidates, HOW)
        return same(here, scored)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(120)))
    rankers.close()


def test_without_rankers_or_with_one_that_fails_candidates_are_scored_here(
    node: Path, table: CollectionTokens, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = score_candidates(table, candidates, HOW)

    def fail(self: RankerServer, work: object) -> Scored:
        raise OSError("no disk")

    assert same(here, *Rankers(lambda: node).score(table, candidates, HOW))
    assert same(here, *Rankers(lambda: node / "none").score(table, candidates, HOW))
    (node / "1-stale.sock").touch()
    assert same(here, *Rankers(lambda: node).score(table, candidates, HOW))
    server = RankerServer(node)
    monkeypatch.setattr(RankerServer, "score", fail)
    assert same(here, *Rankers(lambda: node).score(table, candidates, HOW))
    server.close()


def test_a_search_waits_for_a_ranker_no_longer_than_it_has_time(
    node: Path, table: CollectionTokens, candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    score = RankerServer.score

    def late(self: RankerServer, work: Work) -> Scored:
        free.wait(30)
        return score(self, work)

    server, rankers = RankerServer(node), Rankers(lambda: node)
    monkeypatch.setattr(RankerServer, "score", late)
    with time_limit(0.1), pytest.raises(CicoError, match="in time"):
        rankers.score(table, candidates, HOW)
    free.set()
    assert same(score_candidates(table, candidates, HOW), *rankers.score(table, candidates, HOW))
    rankers.close()
    server.close()


def test_a_ranker_sees_what_was_written_and_deleted_since(node: Path, table: CollectionTokens) -> None:
    server, rankers = RankerServer(node), Rankers(lambda: node)

    def found() -> int:
        rows = table.living()
        (scored,) = rankers.score(table, Candidates(rows, np.zeros(len(rows), np.float32)), HOW)
        return len(scored.rows)

    assert found() == CLIPS
    table.commit(table.write([IndexedClip("new", np.ones((2, DIM), np.float32), {})]), as_rows([]))
    assert found() == CLIPS + 1
    table.mark_dead(table.living()[:3])
    assert found() == CLIPS - 2
    rankers.close()
    server.close()
