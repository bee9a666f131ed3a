"""A load of HTTP requests at a constant rate or from a few clients; every request is accounted for."""

import asyncio
import itertools
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

import httpx
import numpy as np

ACCEPTED, LOST = 200, 0
REFUSED = (429, 503)
# Below the service's own, so that a connection is never closed by it just as a request is sent.
KEPT_SECONDS = 2.0


class Ask(NamedTuple):
    """A POST request: path, body and content type."""

    path: str
    body: bytes
    content_type: str

    @classmethod
    def text(cls, text: str, limit: int = 10) -> Self:
        """A search by a sentence."""
        return cls("/v1/search", json.dumps({"text": text, "limit": limit}).encode(), "application/json")

    @classmethod
    def video(cls, data: bytes) -> Self:
        """A search by a video file."""
        request = httpx.Request("POST", "http://any", files={"file": ("query.mp4", data, "video/mp4")})
        return cls("/v1/search/video", request.read(), request.headers["content-type"])


class Answer(NamedTuple):
    """What became of a request.

    `status` is 0 if no answer came; `seconds` count from when it was due, which is `due` on the clock
    `time.perf_counter`; `body` is kept where wanted, and says why if no answer came.
    """

    status: int
    seconds: float
    request_id: str
    ask: Ask
    due: float = 0.0
    body: bytes = b""


Choose = Callable[[int], Ask]


class Clients:
    """A bounded number of connections to one address; who wants more than there are waits.

    Parameters
    ----------
    address
        `http://host:port`.
    connections
        Most requests that are under way at once.
    timeout
        Seconds after which a request without an answer is lost.
    keep
        Whether answers keep their bodies.

    Examples
    --------
    >>> async def main() -> None:  # doctest: +SKIP
    ...     async with Clients("http://127.0.0.1:8000", connections=64) as clients:
    ...         answers = await clients.steady(lambda number: Ask.text("a boy reads"), 20.0, 10.0)
    """

    def __init__(
        self, address: str, connections: int = 512, timeout: float = 60.0, keep: bool = False
    ) -> None:
        self.address, self.timeout, self.keep = address, timeout, keep
        # One for all, without certificates: nothing is encrypted here, and reading them takes a while.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # A client a connection: choosing among hundreds within one client costs more than the request.
        self._idle: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
        self._all = [self._client() for _ in range(connections)]

    async def __aenter__(self) -> Self:
        for client in self._all:
            self._idle.put_nowait(client)
        return self

    async def __aexit__(self, *error: object) -> None:
        for client in self._all:
            await client.aclose()

    async def steady(self, choose: Choose, rate: float, seconds: float) -> list[Answer]:
        """Requests at a constant rate, whether or not the earlier ones were answered; waits for all answers.

        Parameters
        ----------
        choose
            The request of a number.
        rate
            Requests a second.
        """
        began, running = time.perf_counter(), []
        for number in range(round(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            running.append(asyncio.create_task(self._send(choose(number), due)))
        return list(await asyncio.gather(*running))

    async def crowd(self, choose: Choose, people: int, seconds: float) -> list[Answer]:
        """So many clients at once, each of which asks again as soon as it has its answer."""
        numbers, stop = itertools.count(), time.perf_counter() + seconds

        async def one() -> list[Answer]:
            answers = []
            while time.perf_counter() < stop:
                answers.append(await self._send(choose(next(numbers)), time.perf_counter()))
            return answers

        return [
            answer for answers in await asyncio.gather(*(one() for _ in range(people))) for answer in answers
        ]

    async def _send(self, ask: Ask, due: float) -> Answer:
        client = await self._idle.get()
        try:
            answer = await client.post(ask.path, content=ask.body, headers={"content-type": ask.content_type})
        except httpx.HTTPError as error:
            return Answer(LOST, time.perf_counter() - due, "", ask, due, repr(error).encode())
        finally:
            self._idle.put_nowait(client)
        seconds = time.perf_counter() - due
        request_id = answer.headers.get("x-request-id", "")
        return Answer(answer.status_code, seconds, request_id, ask, due, answer.content if self.keep else b"")

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=KEPT_SECONDS)
        return httpx.AsyncClient(
            base_url=self.address, timeout=self.timeout, limits=limits, verify=self._tls, trust_env=False
        )


@dataclass(frozen=True)
class Figures:
    """A load in figures.

    Attributes
    ----------
    sent, accepted, refused, failed, lost
        Requests; those answered 200; 429 or 503; with any other status; not at all.
    without_id
        Answers that had no request id.
    rate, accepted_rate
        Sent and accepted, a second.
    p50, p99
        Seconds until an accepted request was answered.
    refused_p99
        Seconds until a refused one was.
    statuses
        Answers by status.
    """

    sent: int
    accepted: int
    refused: int
    failed: int
    lost: int
    without_id: int
    rate: float
    accepted_rate: float
    p50: float | None
    p99: float | None
    refused_p99: float | None
    statuses: Mapping[int, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `--json`; what there was none of is absent."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def in_words(self) -> str:
        """For people; failed and lost ones only where there are any.

        >>> ask = Ask.text("a boy reads")
        >>> figures([Answer(200, 0.1, "a", ask), Answer(503, 0.2, "b", ask)], 2.0).in_words()
        '2 sent, 1 accepted: p50 0.100 s, p99 0.100 s, 1 refused (p99 0.200 s)'
        """
        accepted = f"p50 {self.p50:.3f} s, p99 {self.p99:.3f} s" if self.p99 is not None else "none accepted"
        refused = f", {self.refused} refused (p99 {self.refused_p99:.3f} s)" if self.refused else ""
        bad = f", {self.failed} failed, {self.lost} lost" if self.failed or self.lost else ""
        return f"{self.sent} sent, {self.accepted} accepted: {accepted}{refused}{bad}"


def figures(answers: list[Answer], seconds: float) -> Figures:
    """The figures of a load that took so long.

    >>> ask = Ask.text("a boy reads")
    >>> one = figures([Answer(200, 0.1, "a", ask), Answer(503, 0.2, "b", ask), Answer(0, 9.0, "", ask)], 2.0)
    >>> (one.accepted, one.refused, one.lost, one.rate, one.p99, one.refused_p99)
    (1, 1, 1, 1.5, 0.1, 0.2)
    """
    accepted = [a.seconds for a in answers if a.status == ACCEPTED]
    refused = [a.seconds for a in answers if a.status in REFUSED]
    lost = sum(a.status == LOST for a in answers)
    return Figures(
        sent=len(answers),
        accepted=len(accepted),
        refused=len(refused),
        failed=len(answers) - len(accepted) - len(refused) - lost,
        lost=lost,
        without_id=sum(a.status != LOST and not a.request_id for a in answers),
        rate=round(len(answers) / seconds, 2),
        accepted_rate=round(len(accepted) / seconds, 2),
        p50=_percentile(accepted, 50),
        p99=_percentile(accepted, 99),
        refused_p99=_percentile(refused, 99),
        statuses=dict(sorted(Counter(a.status for a in answers).items())),
    )


def _percentile(seconds: list[float], percent: float) -> float | None:
    return float(f"{np.percentile(seconds, percent):.4g}") if seconds else None
