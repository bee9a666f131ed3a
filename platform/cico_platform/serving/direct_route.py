"""In the proxy's process: the way to the replicas of its node, over their sockets.

Ray Serve carries a request as pickled messages in calls of actors, which costs 4 to 5 ms of CPU time. A
socket costs a tenth of that, and a body passes through it as it comes. Ray Serve still starts the replicas,
watches them, and carries the requests of a node without a replica.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from yarl import URL

from cico_platform.serving.disconnects import until_disconnected
from cico_platform.serving.replica_sockets import CLIENT, PLACES, PROXY_KEEP_ALIVE_SECONDS, sockets

LOOK_SECONDS, IGNORED_SECONDS = 0.5, 1.0
# A smaller answer is sent in one message.
SMALL_ANSWER = 1 << 16
# They are of one connection, not of a request.
OF_CONNECTIONS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
NOT_SENT = OF_CONNECTIONS | {b"expect", CLIENT.encode()}
AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class GoneError(Exception):
    """A replica was lost with a request in its hands."""


class Replica:
    """A replica of this node, as its proxy knows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: int | None = None
        self.in_progress = 0
        self.ignored_until = 0.0
        connector = aiohttp.UnixConnector(path=str(path), limit=0, keepalive_timeout=PROXY_KEEP_ALIVE_SECONDS)
        self.session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=AUTOMATIC,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


class DirectRoute:
    """Hands requests to the replica of this node that has least to do, and else to Ray Serve's proxy.

    Parameters
    ----------
    app
        Ray Serve's proxy.
    folder
        Returns this node's folder of sockets.
    seconds
        Longest that a replica may take to begin an answer; then the client gets a 408.
    """

    def __init__(self, app: ASGIApp, folder: Callable[[], Path], seconds: float) -> None:
        self.app, self.seconds = app, seconds
        self._find_folder = folder
        self._folder: Path | None = None
        self._replicas: dict[Path, Replica] = {}
        self._look_at = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def places(self) -> int | None:
        """How many searches the replicas take together, None if no replica has said so."""
        known = [replica.places for replica in self._replicas.values() if replica.places is not None]
        return sum(known) if known else None

    def look_again(self) -> None:
        """Look for replicas before the next request."""
        self._look_at = 0.0

    async def close(self) -> None:
        """Close all connections."""
        for replica in self._replicas.values():
            await replica.session.close()
        await asyncio.gather(*self._closing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, unless the replica that had it is lost."""
        if scope["type"] != "http" or self._choose() is None:
            await self.app(scope, receive, send)
            return
        try:
            await until_disconnected(self._forward, scope, receive, send)
        except GoneError:
            return  # the proxy's envelope says so

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(await receive(), receive)
        while (replica := self._choose()) is not None:
            replica.in_progress += 1
            try:
                await self._ask(replica, scope, body, send)
                return
            except aiohttp.ClientConnectorError:
                # It is starting or gone, and has seen nothing of the request.
                replica.ignored_until = time.monotonic() + IGNORED_SECONDS
                replica.places = None
                if body.begun:
                    raise GoneError from None
            finally:
                replica.in_progress -= 1
        await self.app(scope, body.receive, send)

    async def _ask(self, replica: Replica, scope: Scope, body: "_Body", send: Send) -> None:
        url = URL.build(
            scheme="http",
            host="replica",
            path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            query_string=scope["query_string"].decode("latin-1"),
            encoded=True,
        )
        client = scope.get("client") or ("unknown", 0)
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in NOT_SENT
        ]
        headers.append((CLIENT, f"{client[0]} {client[1]}"))
        asked = replica.session.request(
            scope["method"], url, headers=headers, data=body.content(), allow_redirects=False
        )
        started = False
        try:
            try:
                async with asyncio.timeout(self.seconds):
                    answer = await asked
            except TimeoutError:
                await _answer(send, 408)
                return
            async with answer:
                headers_back = []
                for name, value in answer.raw_headers:
                    lower = name.lower()
                    if lower == PLACES.encode():
                        replica.places = int(value)
                    elif lower not in OF_CONNECTIONS:
                        headers_back.append((lower, value))
                started = True
                await send({"type": "http.response.start", "status": answer.status, "headers": headers_back})
                if answer.content_length is not None and answer.content_length <= SMALL_ANSWER:
                    await send({"type": "http.response.body", "body": await answer.read()})
                    return
                async for chunk in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            if started:
                raise  # half an answer is out: its connection must end
            raise GoneError from error

    def _choose(self) -> Replica | None:
        """The replica with least to do, of those that can be reached."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        usable = [replica for replica in self._replicas.values() if replica.ignored_until <= now]
        return min(usable, key=lambda replica: replica.in_progress) if usable else None

    def _look(self) -> None:
        try:
            self._folder = self._folder or self._find_folder()
        except OSError:  # without a folder there are no sockets
            return
        found = set(sockets(self._folder))
        for path in self._replicas.keys() - found:
            closing = asyncio.ensure_future(_close(self._replicas.pop(path)))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        for path in found - self._replicas.keys():
            self._replicas[path] = Replica(path)


class _Body:
    """A request's body: whole if it came in one message, else as it comes."""

    def __init__(self, first: Message, receive: Receive) -> None:
        self._first, self._receive = first, receive
        self.begun = False

    def content(self) -> bytes | AsyncIterator[bytes] | None:
        """For the client of a replica."""
        if not self._first.get("more_body", False):
            return self._first.get("body") or None
        return self._chunks()

    async def receive(self) -> Message:
        """For Ray Serve's proxy: all of it, if none was read here."""
        if self._first:
            first, self._first = self._first, {}
            return first
        return await self._receive()

    async def _chunks(self) -> AsyncIterator[bytes]:
        self.begun, message = True, self._first
        while True:
            if message["type"] != "http.request":
                raise ConnectionAbortedError("the client went away")
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return
            message = await self._receive()


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _close(replica: Replica) -> None:
    while replica.in_progress:
        await asyncio.sleep(LOOK_SECONDS)
    await replica.session.close()
