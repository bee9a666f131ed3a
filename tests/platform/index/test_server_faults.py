"""A Qdrant server that is slow, refuses, loses answers, dies and comes back: nothing is lost or doubled."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_clips import DIM, drawn_clips
from qdrant_stand_in.process import StandInProcess

from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import IndexedClip
from cico_platform.index.deadlines import limited, remaining, time_limit
from cico_platform.index.server import ServerIndex
from cico_platform.index.server_client import UnreachableError
from cico_platform.index.server_settings import ServerSettings

WRITES = ["Points/Upsert", "Points/Delete", "Points/CreateFieldIndex"]
CHANGES = ["Collections/Create", "Collections/UpdateAliases", "Collections/Delete", *WRITES]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProcess]:
    """A server of these tests' own: they let it fail, and die."""
    with StandInProcess(tmp_path_factory.mktemp("faulty")) as running:
        yield running


@pytest.fixture
def index(server: StandInProcess, tmp_path: Path) -> Iterator[VectorIndex]:
    """An index on the server, with batches of some ten clips."""
    with ServerIndex(server.url, settings(tmp_path)) as opened:
        yield opened
        server.control(faults={})
        for name in ("a", "b"):
            opened.delete(name)


def settings(folder: Path, **more: Any) -> ServerSettings:
    values: dict[str, Any] = {
        "batch_bytes": 60_000,
        "write_timeout_s": 30.0,
        "tokens": str(folder / "tokens"),
    }
    return ServerSettings(**{**values, **more})


def fill(index: VectorIndex, name: str, made: list[IndexedClip]) -> None:
    """Index clips as a writer does: some at a time."""
    index.create(name, DIM)
    for first in range(0, len(made), 25):
        index.upsert(name, made[first : first + 25])


def check(index: VectorIndex, name: str, made: list[IndexedClip]) -> None:
    """Exactly these clips are there, each once, with its tokens, and each is found."""
    assert index.count(name) == len(made)
    held = {hit.video_id: hit for hit in index.fetch(name, tokens=True)}
    assert set(held) == {clip.video_id for clip in made}
    for clip in made:
        np.testing.assert_allclose(held[clip.video_id].tokens, clip.tokens, atol=1e-2)
        assert held[clip.video_id].payload["text"] == clip.payload["text"]
    for clip in made[::17]:
        hits = index.query(name, clip.tokens, limit=1, candidates=len(made))
        assert hits[0].video_id == clip.video_id


@pytest.mark.parametrize(
    "faults",
    [
        {"every": 3, "methods": CHANGES},
        {"every": 3, "kind": "lose-answer", "methods": CHANGES},
        {"every": 2, "kind": "half", "methods": WRITES},
        {"every": 2, "code": "ABORTED"},
        {"every": 3, "code": "RESOURCE_EXHAUSTED", "retry_after": 0},
    ],
    ids=["refused", "answers-lost", "half-written", "aborted", "rate-limited"],
)
def test_what_fails_for_a_passing_reason_is_done_in_the_end(
    server: StandInProcess, index: VectorIndex, faults: dict[str, Any]
) -> None:
    made = drawn_clips(120)
    server.control(faults=faults)
    fill(index, "a", made)
    fill(index, "b", made[:10])
    fill(index, "a", made[:60])  # once more, as a run that was cut does
    index.alias("live", "b")
    index.alias("live", "a")
    assert (index.alias("live"), index.alias("live.previous")) == ("a", "b")
    index.delete("a", [made[0].video_id])
    index.delete("b")
    assert server.control()["struck"] >= 5
    server.control(faults={})
    check(index, "a", made[1:])
    assert index.alias("live.previous") is None


@pytest.mark.parametrize(
    "code", ["INTERNAL", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"]
)
def test_what_does_not_pass_is_not_tried_again(server: StandInProcess, index: VectorIndex, code: str) -> None:
    index.create("a", DIM)
    server.control(faults={"every": 1, "code": code, "methods": WRITES}, reset=True)
    with pytest.raises(CicoError, match="refuses UpsertPoints: a fault was asked for"):
        index.upsert("a", drawn_clips(2))
    assert server.control()["calls"]["Points/Upsert"] == 1


def test_patience_ends(server: StandInProcess, index: VectorIndex, tmp_path: Path) -> None:
    index.create("a", DIM)
    server.control(faults={"every": 1, "methods": WRITES}, reset=True)
    says = r"no Qdrant server can be asked.*tried \d+ times"
    with (
        ServerIndex(server.url, settings(tmp_path, patience_s=0.4)) as hasty,
        pytest.raises(UnreachableError, match=says),
    ):
        hasty.upsert("a", drawn_clips(2))
    assert 2 <= server.control()["calls"]["Points/Upsert"] < 20


def test_a_write_that_hangs_is_sent_again(server: StandInProcess, index: VectorIndex, tmp_path: Path) -> None:
    index.create("a", DIM)
    server.control(faults={"every": 1, "kind": "hang", "times": 2, "methods": WRITES})
    with ServerIndex(server.url, settings(tmp_path, write_timeout_s=0.3)) as hasty:
        hasty.upsert("a", drawn_clips(20))
    assert server.control()["struck"] == 2
    check(index, "a", drawn_clips(20))


def test_what_is_read_to_write_is_waited_for_as_the_write(
    server: StandInProcess, index: VectorIndex, tmp_path: Path
) -> None:
    made = drawn_clips(20)
    index.create("a", DIM)
    reads = ["Points/Scroll", "Collections/Get"]
    with ServerIndex(server.url, settings(tmp_path, timeout_s=0.1)) as hasty:
        server.control(faults={"every": 1, "times": 6, "methods": reads})
        hasty.upsert("a", made)
        assert server.control()["struck"] == 6
        server.control(faults={"every": 1, "methods": reads})
        with pytest.raises(UnreachableError):
            list(hasty.fetch("a"))
    server.control(faults={})
    check(index, "a", made)


def test_a_call_takes_no_longer_than_its_caller_has(server: StandInProcess, index: VectorIndex) -> None:
    made = drawn_clips(5)
    fill(index, "a", made)
    assert remaining() is None
    server.control(faults={"every": 1, "kind": "hang", "methods": ["Points/Query", "Points/Get"]}, reset=True)
    with time_limit(0.3), pytest.raises(UnreachableError, match=r"did not answer within 0\.\d s"):
        index.query("a", made[0].tokens, candidates=5)
    with time_limit(0), pytest.raises(UnreachableError, match="no time is left"):
        index.query("a", made[0].tokens, candidates=5)
    # In whichever thread the work is done; here the time has passed when it begins.
    late = limited(0.0, index.query)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            late("a", made[0].tokens, candidates=5)
        except CicoError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert isinstance(failed[0], UnreachableError)
    assert server.control()["calls"]["Points/Query"] == 1


def test_a_slow_server_is_waited_for(server: StandInProcess, index: VectorIndex) -> None:
    made = drawn_clips(5)
    fill(index, "a", made)
    server.control(faults={"latency": 0.2})
    with time_limit(60):
        check(index, "a", made)


def test_a_server_that_restarts_while_clips_are_indexed(server: StandInProcess, index: VectorIndex) -> None:
    made = drawn_clips(400)
    index.create("a", DIM)
    done = threading.Event()

    def restart() -> None:
        for _ in range(3):
            time.sleep(0.3)
            server.kill()
            time.sleep(0.2)
            server.start()
            if done.is_set():
                return

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        for first in range(0, len(made), 10):
            index.upsert("a", made[first : first + 10])
            time.sleep(0.03)
    finally:
        done.set()
        restarting.join()
    check(index, "a", made)


def test_a_server_that_dies_with_half_a_batch_written(server: StandInProcess, index: VectorIndex) -> None:
    made = drawn_clips(60)
    fill(index, "a", made[:20])
    server.control(faults={"every": 2, "kind": "die", "methods": WRITES})

    def revive() -> None:
        assert server.wait() == 9
        server.start()

    reviving = threading.Thread(target=revive)
    reviving.start()
    index.upsert("a", [IndexedClip(c.video_id, c.tokens, {**c.payload, "text": "again"}) for c in made[:20]])
    index.upsert("a", made)
    reviving.join()
    check(index, "a", made)


def test_searches_go_on_after_a_restart(server: StandInProcess, index: VectorIndex) -> None:
    made = drawn_clips(30)
    fill(index, "a", made)
    index.alias("live", "a")
    server.kill()
    with pytest.raises(UnreachableError, match="nothing answers"), time_limit(0.5):
        index.query("a", made[0].tokens, candidates=30)
    server.start()
    check(index, "a", made)
    assert index.alias("live") == "a"
