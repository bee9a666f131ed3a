"""The proxy reaches the replicas of its node over their sockets, and Ray Serve's way where it cannot."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from api_in_process import problem
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from tiny_index import SENTENCES

from cico_platform.serving.direct_route import DirectRoute
from cico_platform.serving.proxy import GONE, ProxyEnvelope
from cico_platform.serving.replica_sockets import ReplicaServer, private_folder, sockets

PLACES = 3
MINE = {"x-request-id": "mine-7"}


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return private_folder(tmp_path_factory.mktemp("node") / "sockets" / "s")


async def rays(scope: Scope, receive: Receive, send: Send) -> None:
    """Ray Serve's way."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(b"by Ray Serve " + body)(scope, receive, send)


@asynccontextmanager
async def replica(app: ASGIApp, node: Path) -> AsyncIterator[ReplicaServer]:
    server = ReplicaServer(app, lambda: PLACES, node)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def proxy(node: Path, seconds: float = 30.0) -> AsyncIterator[tuple[httpx.AsyncClient, DirectRoute]]:
    route = DirectRoute(rays, lambda: node, seconds)
    proxied = ProxyEnvelope(route, lambda: route.places)
    transport = httpx.ASGITransport(proxied, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
        yield client, route
    await route.close()


Asked = Callable[[httpx.AsyncClient, DirectRoute], Awaitable[None]]


def run(app: ASGIApp, node: Path, ask: Asked, seconds: float = 30.0) -> None:
    """Ask a proxy whose node has one replica."""

    async def main() -> None:
        async with replica(app, node), proxy(node, seconds) as (client, route):
            await ask(client, route)

    asyncio.run(main())


def test_the_api_answers_through_its_socket_as_it_does_without(
    served: tuple[FastAPI, object, object], node: Path
) -> None:
    async def ask(client: httpx.AsyncClient, route: DirectRoute) -> None:
        found = await client.post("/v1/search", json={"text": SENTENCES[1]}, headers=MINE)
        assert found.json()["results"][0]["video_id"] == "clip-1"
        assert found.json()["request_id"] == found.headers["x-request-id"] == "mine-7"
        assert "x-cico-places" not in found.headers
        assert route.places == PLACES
        missing = await client.get("/v1/clips/no%2Fsuch%20clip?x=1")
        assert problem(missing, 404)["detail"] == "no clip of this id is indexed"
        media = await client.get("/v1/clips/clip-1/media", headers={"range": "bytes=2-5"})
        assert (media.status_code, len(media.content)) == (206, 4)
        whole = await client.get("/v1/clips/clip-1/media")
        assert int(whole.headers["content-length"]) == len(whole.content) > 1000
        assert whole.content[2:6] == media.content

    run(served[0], node, ask)


def test_a_replica_sees_the_client_its_path_its_headers_and_its_body(node: Path) -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        headers = [f"{name}={value}" for name, value in request.headers.items() if name.startswith("x-")]
        told = [str(scope["client"]), scope["raw_path"].decode(), scope["query_string"].decode(), *headers]
        body = await request.body()
        await PlainTextResponse("\n".join([scope["method"], *told, body.decode()]))(scope, receive, send)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"a", b"bc", b"d"):
            await asyncio.sleep(0.01)
            yield piece

    async def ask(client: httpx.AsyncClient, route: DirectRoute) -> None:
        headers = {"x-request-id": "mine", "x-mine": "1", "x-cico-client": "203.0.113.1 1"}
        for method, body in (("PUT", b"abcd"), ("POST", pieces()), ("GET", None)):
            answer = await client.request(method, "/a%2Fb//c?d=%20&d=2", headers=headers, content=body)
            method_seen, address, path, query, *rest, body_seen = answer.text.split("\n")
            assert (method_seen, path, query) == (method, "/a%2Fb//c", "d=%20&d=2")
            assert address == "('192.0.2.7', 4711)"
            assert sorted(rest) == ["x-mine=1", "x-request-id=mine"]
            assert body_seen == ("abcd" if body else "")

    run(echo, node, ask)


def test_bodies_of_any_size_pass_in_both_directions(node: Path) -> None:
    async def back(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()

        async def pieces() -> AsyncIterator[bytes]:
            for first in range(0, len(body), 70_000):
                yield body[first : first + 70_000]

        answer: Response = Response(body) if len(body) < 10 else StreamingResponse(pieces())
        await answer(scope, receive, send)

    async def ask(client: httpx.AsyncClient, route: DirectRoute) -> None:
        for body in (b"", b"x", bytes(range(256)) * 4000):
            assert (await client.post("/any", content=body)).content == body

    run(back, node, ask)


def test_without_a_replica_requests_go_ray_serves_way(node: Path) -> None:
    async def main() -> None:
        async with proxy(node) as (client, route):
            assert (await client.post("/v1/search", content=b"1")).text == "by Ray Serve 1"
            assert route.places is None
            (node / "1-gone.sock").touch()  # nobody listens there
            route.look_again()
            assert (await client.post("/v1/search", content=b"2")).text == "by Ray Serve 2"
        async with replica(PlainTextResponse("direct"), node) as server, proxy(node) as (client, route):
            assert (await client.post("/v1/search", content=b"3")).text == "direct"
            await server.stop()
            assert (await client.post("/v1/search", content=b"4")).text == "by Ray Serve 4"
            assert route.places is None

    asyncio.run(main())
    assert not [path for path in sockets(node) if path.name != "1-gone.sock"]


def test_requests_are_spread_over_replicas_and_a_lost_one_costs_no_other_request(node: Path) -> None:
    def named(name: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.2)
            await PlainTextResponse(name)(scope, receive, send)

        return app

    async def main() -> None:
        two = replica(named("a"), node), replica(named("b"), node)
        async with two[0] as first, two[1], proxy(node) as (client, route):
            answers = await asyncio.gather(*(client.get("/any") for _ in range(6)))
            assert sorted(answer.text for answer in answers) == ["a"] * 3 + ["b"] * 3
            assert route.places == 2 * PLACES
            await first.stop()
            answers = await asyncio.gather(*(client.get("/any") for _ in range(6)))
            assert {answer.text for answer in answers} == {"b"}

    asyncio.run(main())


def test_a_replica_that_dies_with_a_request_leaves_a_503_with_its_id(node: Path) -> None:
    async def main() -> None:
        async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        async with await asyncio.start_unix_server(die, node / "1-dying.sock"), proxy(node) as (client, _):
            for body in (b"{}", dripping()):
                answer = await client.post("/v1/search", content=body, headers=MINE)
                assert problem(answer, 503)["detail"] == GONE
                assert answer.json()["request_id"] == "mine-7"

    async def dripping() -> AsyncIterator[bytes]:
        yield b"x"
        yield b"y"

    asyncio.run(main())


def test_an_answer_that_does_not_begin_in_time_is_a_408(node: Path) -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def ask(client: httpx.AsyncClient, route: DirectRoute) -> None:
        assert problem(await client.get("/any"), 408)["detail"] == "the service did not answer in time"

    run(never, node, ask, seconds=0.2)


def test_a_replica_stops_working_for_a_client_that_went_away(node: Path) -> None:
    ended = asyncio.Event()

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        try:
            await asyncio.sleep(60)
        except (asyncio.CancelledError, ClientDisconnect):
            ended.set()
            raise

    async def main() -> None:
        async with replica(work, node), proxy(node) as (client, _):
            asked = asyncio.create_task(client.post("/v1/search", content=b"{}"))
            await asyncio.sleep(0.3)
            asked.cancel()
            await asyncio.wait_for(ended.wait(), 10)

    asyncio.run(main())


def test_a_folder_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "open" / "node")
    (tmp_path / "link").symlink_to(tmp_path / "open")
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "link" / "node")
