"""What leaves Ray Serve's proxy has one request id and is the API's kind of error, whoever answered."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from api_in_process import problem
from fastapi import FastAPI
from ray.serve._private.http_util import RequestIdMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cico_platform.serving.proxy import ProxyEnvelope


def ask(app: ASGIApp, path: str = "/healthz", headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An answer through Ray's own middleware and ours around it, as the proxy has them."""
    proxied = ProxyEnvelope(RequestIdMiddleware(app))

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(proxied)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(get())


def test_a_request_that_nobody_answers_gets_a_503_with_its_id() -> None:
    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        """As Ray Serve's proxy does where a replica died."""

    answer = ask(dies, headers={"x-request-id": "mine-7"})
    assert problem(answer, 503)["request_id"] == "mine-7"
    assert answer.headers["retry-after"]
    assert problem(ask(dies), 503)["request_id"]


@pytest.mark.parametrize("status", [404, 408, 503])
def test_an_error_of_the_proxy_becomes_one_of_ours(status: int) -> None:
    answer = ask(PlainTextResponse("Request 1 timed out", status))
    assert "timed out" not in problem(answer, status)["detail"]


@pytest.mark.parametrize("sent", ["mine-7", "no id: ' or 1=1", "x" * 65, ""])
def test_an_answer_of_the_api_passes_with_one_id(served: tuple[FastAPI, object, object], sent: str) -> None:
    answer = ask(served[0], headers={"x-request-id": sent})
    assert answer.json() == {"status": "ok"}
    (request_id,) = answer.headers.get_list("x-request-id")
    assert (request_id == sent) == (sent == "mine-7")
    missing = ask(served[0], "/v1/clips/none", {"x-request-id": sent})
    assert problem(missing, 404)["detail"] == "no clip of this id is indexed"


def test_searches_beyond_the_places_are_refused_before_they_reach_the_api() -> None:
    reached = 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal reached
        reached += 1
        await asyncio.sleep(0.2)
        await PlainTextResponse("found")(scope, receive, send)

    proxied = ProxyEnvelope(RequestIdMiddleware(slow), lambda: 2)

    async def ask_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(proxied)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            paths = ["/v1/search"] * 3 + ["/v1/align"] * 2 + ["/v1/search/video", "/"]
            answers = await asyncio.gather(*(client.post(path) for path in paths))
            return [*answers, await client.post("/v1/search")]

    answers = asyncio.run(ask_all())
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503, 503, 200, 200, 200]
    assert reached == 5
    for answer in answers[2:5]:
        assert problem(answer, 503)["detail"].startswith("too many searches")
        assert answer.headers["retry-after"]


def test_what_the_proxy_refused_is_in_the_metrics(served: tuple[FastAPI, object, object]) -> None:
    free = asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/search":
            await free.wait()
        await served[0](scope, receive, send)

    async def ask_all() -> tuple[list[int], str, str]:
        transport = httpx.ASGITransport(ProxyEnvelope(RequestIdMiddleware(held), lambda: 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            before = await client.get("/metrics", headers={"x-cico-refused": "/v1/search=700"})
            searches = [asyncio.create_task(client.post("/v1/search", json={"text": "a"})) for _ in range(4)]
            while sum(search.done() for search in searches) < 3:
                await asyncio.sleep(0.01)
            after = await client.get("/metrics")
            free.set()
            statuses = [answer.status_code for answer in await asyncio.gather(*searches)]
            return statuses, before.text, after.text

    statuses, before, after = asyncio.run(ask_all())
    assert sorted(statuses) == [200, 503, 503, 503]
    assert count_of(after) - count_of(before) == 3
    assert count_of(before) < 700


def count_of(metrics: str, line: str = 'cico_requests_total{route="/v1/search",status="503"} ') -> float:
    return sum(float(found.removeprefix(line)) for found in metrics.splitlines() if found.startswith(line))


def test_a_body_that_drips_holds_no_place() -> None:
    async def main() -> tuple[httpx.Response, httpx.Response]:
        proxied = ProxyEnvelope(RequestIdMiddleware(answering), lambda: 1)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(proxied), base_url="http://test"
        ) as client:
            slow = asyncio.create_task(client.post("/v1/search", content=dripping()))
            await asyncio.sleep(0.3)
            return await client.post("/v1/search", content=b"{}"), await slow

    async def dripping() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"
            await asyncio.sleep(0.7)

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(await StarletteRequest(scope, receive).body())(scope, receive, send)

    quick, slow = asyncio.run(main())
    assert (quick.status_code, quick.text) == (200, "{}")
    assert (slow.status_code, slow.text) == (200, "xxx")
