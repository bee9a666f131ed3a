"""More load than the service can do, and processes that die under it: every request gets an answer."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from cico_platform.benchmarks.drawn_index import draw_index
from cico_platform.benchmarks.load import Answer, Ask, Clients, figures
from cico_platform.benchmarks.services import RunningService, our_service
from cico_platform.index.search import Searcher
from cico_platform.serving.proxy import GONE

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500)]
CLIPS = 64
# Far more than the places of the service.
CROWD = 60
LOAD_SECONDS = 8.0
BACK_WITHIN, ANSWER_WITHIN = 60.0, 150.0
NOTICED_WITHIN = 2.0
LOST_IN_HAND = (GONE.encode(), b"an encoder is not there")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, list[Ask]]]:
    """`cico serve` in a process of its own, and searches for it."""
    folder = tmp_path_factory.mktemp("load")
    index = draw_index(folder, CLIPS)
    with Searcher.open(index) as searcher:
        texts = [str(hit.payload["text"]) for hit in searcher.index.fetch(searcher.info.collection)]
    with our_service(index, folder) as service:
        yield service, [Ask.text(text) for text in texts]


def replica(service: RunningService, deployment: str) -> psutil.Process:
    """The process of a deployment's replica."""
    everything = psutil.Process(service.process.pid).children(recursive=True)
    titles = {process: " ".join(process.cmdline()) for process in everything}
    (found,) = (one for one, title in titles.items() if title.startswith("ray::") and deployment in title)
    return found


def test_at_twice_the_capacity_every_request_is_answered_and_the_next_one_too(
    served: tuple[RunningService, list[Ask]],
) -> None:
    service, asks = served

    async def load() -> tuple[list[Answer], list[Answer], list[Answer]]:
        async with Clients(service.address) as clients:

            def choose(number: int) -> Ask:
                return asks[number % len(asks)]

            able = figures(await clients.crowd(choose, 8, LOAD_SECONDS / 2), LOAD_SECONDS / 2).accepted_rate
            twice = await clients.steady(choose, 2 * able, LOAD_SECONDS)
            crowd = await clients.crowd(choose, CROWD, LOAD_SECONDS / 2)
            return twice, crowd, await clients.steady(choose, 1.0, 1.0)

    for answers in asyncio.run(load()):
        found = figures(answers, LOAD_SECONDS)
        assert (found.lost, found.failed, found.without_id) == (0, 0, 0), found
        assert found.accepted > 0
    assert len({answer.request_id for answer in answers}) == len(answers)


@pytest.mark.parametrize("deployment", ["VideoEncoder", "SearchApi"])
def test_a_replica_that_is_killed_under_load_fails_what_it_had_in_hand_and_comes_back(
    served: tuple[RunningService, list[Ask]], deployment: str
) -> None:
    service, asks = served
    doomed = replica(service, deployment)
    killed = 0.0

    async def kill() -> None:
        nonlocal killed
        await asyncio.sleep(LOAD_SECONDS / 3)
        killed = time.perf_counter()
        os.kill(doomed.pid, signal.SIGKILL)

    async def load() -> list[Answer]:
        # Longer than the proxy lets a request wait for a replica.
        async with Clients(service.address, timeout=ANSWER_WITHIN, keep=True) as clients:
            answers, _ = await asyncio.gather(
                clients.steady(lambda number: asks[number % len(asks)], 8.0, LOAD_SECONDS), kill()
            )
            until = time.perf_counter() + BACK_WITHIN
            while answers[-1].status != 200:
                assert time.perf_counter() < until, answers[-1]
                answers += await clients.steady(lambda _: asks[0], 5.0, 0.2)
            return answers

    answers = asyncio.run(load())
    found = figures(answers, LOAD_SECONDS)
    assert (found.lost, found.failed, found.without_id) == (0, 0, 0), found
    back = min(a.due + a.seconds for a in answers if a.status == 200 and a.due > killed) - killed
    print(f"{deployment}: {dict(found.statuses)}, the first answer {back:.1f} s after the kill")
    assert back < BACK_WITHIN
    # What was sent after the death was noticed was never in the hands of the one that died.
    broken = [a for a in answers if any(reason in a.body for reason in LOST_IN_HAND)]
    print(f"{len(broken)} lost in its hands")
    assert all(a.due <= killed + NOTICED_WITHIN and a.status == 503 for a in broken), broken
