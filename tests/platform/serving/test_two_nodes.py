"""Two replicas of the API and two rankers on two nodes and a server: whatever dies, no answer is wrong."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from qdrant_stand_in.process import StandInProcess

from cico_platform.benchmarks.drawn_index import draw_index
from cico_platform.benchmarks.load import Answer, Ask, Clients, figures
from cico_platform.benchmarks.services import RunningService, free_port
from cico_platform.index.base import open_index
from cico_platform.index.clips import IndexedClip
from cico_platform.index.forgetting import forget
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import DEFAULT_ALIAS, live_serving
from cico_platform.index.writer import IndexWriter

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
CLIPS, RATE, SHOWN = 48, 6.0, 8
LOAD_SECONDS, LATE_SECONDS, START_SECONDS = 6.0, 8.0, 240.0
BACK_WITHIN, NOTICED_SECONDS = 30.0, 5.0
SERVICE = """
import os, sys, threading
from cico_platform.serving.app import PROXY, serve_index
os.environ.update(PROXY)
from ray.cluster_utils import Cluster
from cico_platform.cluster import connect
from cico_platform.serving.settings import ServiceSettings

node = {"num_cpus": 3, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args=node)
cluster.add_node(**node)
cluster.wait_for_nodes(timeout=180)
connect(cluster.address)
replicas = {"least_replicas": 2, "most_replicas": 2, "rankers": 2}
settings = ServiceSettings(searches_per_client=1000, searches=50, **replicas)
serve_index(sys.argv[1], port=int(sys.argv[2]), blocking=False, settings=settings)
try:
    threading.Event().wait()
except KeyboardInterrupt:
    from cico_platform.serving.app import stop_serving
    stop_serving(True)
    cluster.shutdown()
"""
Found = dict[str, float]
# Scores differ a little with the batch that a text is encoded in.
SAME_SCORE = 1e-3


@dataclass(frozen=True)
class Served:
    """The service, the server behind it, and texts to search for."""

    service: RunningService
    server: StandInProcess
    texts: list[str]

    def right(self) -> dict[str, Found]:
        """What is found in this process now, by text."""
        with Searcher.open(self.server.url) as searcher:
            return {
                text: {row["video_id"]: row["score"] for row in searcher.by_text(text, SHOWN)}
                for text in self.texts
            }

    def kill(self, deployment: str) -> None:
        """End a deployment's oldest replica at once, when both of them listen."""
        give_up = time.monotonic() + START_SECONDS
        while len(listening := self.replicas(deployment)) < 2:
            assert time.monotonic() < give_up, "a replica did not come back"
            time.sleep(0.2)
        min(listening, key=lambda one: one.create_time()).send_signal(signal.SIGKILL)

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replicas of a deployment that listen on a socket of their node."""
        everything = psutil.Process(self.service.process.pid).children(recursive=True)
        title = f"ray::ServeReplica:cico:{deployment}"
        folder = Path(tempfile.gettempdir()) / f"cico-{os.getuid()}"
        return [
            one
            for one in everything
            if " ".join(one.cmdline()).startswith(title) and any(folder.rglob(f"{one.pid}-*.sock"))
        ]

    def restart_server(self) -> None:
        """End the server at once, and start it again a second later."""
        self.server.kill()
        time.sleep(1.0)
        self.server.start()

    def move_alias(self) -> None:
        """Let the other collection go live."""
        with open_index(self.server.url) as index:
            index.alias(DEFAULT_ALIAS, "clips-2")

    def forget(self) -> None:
        """Forget the clip that answers the first text best."""
        best = next(iter(self.right()[self.texts[0]]))
        with open_index(self.server.url) as index:
            forget(index, video_ids=[best], grace=8.0)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("CICO_QDRANT_TOKENS", str(tmp_path / "tokens"))
    with StandInProcess(tmp_path / "qdrant") as server:
        texts: list[str] = []
        for number in (2, 1):  # the last one is live
            local = draw_index(tmp_path / f"drawn-{number}", CLIPS, seed=number)
            texts += copy_as(local, server.url, f"clips-{number}")[:8]
        command = [sys.executable, "-c", SERVICE, server.url, str(port := free_port())]
        with RunningService("two nodes", command, port, tmp_path / "service.log") as service:
            yield Served(service, server, texts)


def copy_as(source: Path, url: str, name: str) -> list[str]:
    """Make what is live in an embedded index live on a server, under another name; returns its texts."""
    with open_index(str(source)) as index, open_index(url) as target:
        info = live_serving(index)
        with IndexWriter(target, replace(info, collection=name)) as writer:
            hits = list(index.fetch(info.collection, tokens=True))
            for hit in hits:
                payload = {key: value for key, value in hit.payload.items() if key != "video_id"}
                writer.add([IndexedClip(hit.video_id, np.array(hit.tokens), payload)])
        return [str(hit.payload["text"]) for hit in hits]


def is_one_of(answer: Answer, right: list[dict[str, Found]]) -> bool:
    body = json.loads(answer.body)
    found = {row["video_id"]: row["score"] for row in body["results"]}
    text = json.loads(answer.ask.body)["text"]

    def same(known: Found) -> bool:
        return known.keys() == found.keys() and np.allclose(
            list(known.values()), [found[name] for name in known], atol=SAME_SCORE
        )

    return any(same(known[text]) for known in right)


async def load(clients: Clients, served: Served, disturb: Callable[[], None]) -> tuple[list[Answer], float]:
    """Searches while something is done to the service; returns the seconds until all were answered again."""
    asks = [Ask.text(text, SHOWN) for text in served.texts]

    def choose(number: int) -> Ask:
        return asks[number % len(asks)]

    began = 0.0

    def disturb_then() -> None:
        nonlocal began
        disturb()
        began = time.perf_counter()

    disturbing = asyncio.create_task(asyncio.to_thread(disturb_then))
    answers: list[Answer] = []
    while not disturbing.done():
        answers += await clients.steady(choose, RATE, 2.0)
    await disturbing
    answers += await clients.steady(choose, RATE, LOAD_SECONDS)
    until = time.perf_counter() + 2 * BACK_WITHIN
    while not all(answer.status == 200 for answer in answers[-int(2 * RATE) :]):
        assert time.perf_counter() < until, answers[-1]
        answers += await clients.steady(choose, RATE, 2.0)
    bad = [answer for answer in answers if answer.status != 200 or answer.seconds > LATE_SECONDS]
    return answers, max((answer.due + answer.seconds - began for answer in bad), default=0.0)


def test_whatever_dies_or_changes_no_answer_is_wrong_and_all_are_answered_again_soon(served: Served) -> None:
    disturbances = {
        "API killed": lambda: served.kill("SearchApi"),
        "other API killed": lambda: served.kill("SearchApi"),
        "ranker killed": lambda: served.kill("Ranker"),
        "other ranker killed": lambda: served.kill("Ranker"),
        "server restarted": served.restart_server,
        "alias moved": served.move_alias,
        "clip forgotten": served.forget,
    }

    async def main() -> None:
        right = [served.right()]
        async with Clients(served.service.address, timeout=120, keep=True) as clients:
            for name, disturb in disturbances.items():
                answers, back = await load(clients, served, disturb)
                right.append(await asyncio.to_thread(served.right))
                told = figures(answers, len(answers) / RATE)
                print(f"{name}: {told.in_words()}; all answered again after {back:.1f} s")
                assert set(told.statuses) <= {200, 503}, told
                assert told.without_id == 0
                good = [answer for answer in answers if answer.status == 200]
                assert all(is_one_of(answer, right[-2:]) for answer in good)
                assert back < BACK_WITHIN
                await asyncio.sleep(NOTICED_SECONDS)
                after = await clients.steady(lambda number: Ask.text(served.texts[number], SHOWN), RATE, 1.0)
                assert all(is_one_of(answer, right[-1:]) for answer in after)
        begin, before, moved, forgotten = right[0], *right[-3:]
        assert begin == before
        assert not any(before[text] == moved[text] for text in served.texts)
        assert moved[served.texts[0]] != forgotten[served.texts[0]]

    asyncio.run(main())
