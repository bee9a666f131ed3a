"""Around Ray Serve's proxy: a request id whoever answers, a quick no, an answer where a replica died."""

import asyncio
import os
import time
import uuid
from collections.abc import Callable

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cico_platform.serving.direct_route import DirectRoute
from cico_platform.serving.envelope import REQUEST_ID, SECURITY_HEADERS
from cico_platform.serving.problems import problem_response
from cico_platform.serving.refusals import COUNTED, Refusals
from cico_platform.serving.replica_sockets import node_folder

# Ray Serve's proxy calls the function of this name in its own process (`ray_compat.SERVE_PROXY_MIDDLEWARES`).
IMPORT_PATH = "cico_platform.serving.proxy:middlewares"
# Longest that a request may take until its answer begins.
SECONDS, DEFAULT_SECONDS = "CICO_REQUEST_SECONDS", 120.0
# A body that takes longer or is larger holds no place meanwhile: the API judges it.
BODY_SECONDS, BODY_BYTES = 1.0, 256 << 10
HEADER = "x-request-id"
# The API's own answers have it, those that the proxy makes up have not.
OF_THE_API = "x-content-type-options"
GONE = "the service lost the process that was answering; try again"
BUSY = "too many searches are being answered; try again"
REASONS = {
    404: "nothing is served at this path",
    408: "the service did not answer in time",
    503: "the service is starting, or has too much to do; try again",
}


def middlewares() -> list[Middleware]:
    """What the proxy puts around everything that it answers."""
    return [Middleware(around_proxy)]


def around_proxy(app: ASGIApp) -> "ProxyEnvelope":
    """Ray Serve's proxy with the direct way to this node's replicas, in our envelope."""
    route = DirectRoute(app, node_folder, float(os.environ.get(SECONDS) or DEFAULT_SECONDS))
    return ProxyEnvelope(route, lambda: route.places)


class ProxyEnvelope:
    """Gives a request its id before the API sees it, and each answer that one id.

    Ray Serve's proxy sends nothing where a replica died with the request in its hands: that becomes a 503.
    Errors that the proxy answers itself become the API's kind of errors.

    Parameters
    ----------
    places
        Returns how many searches by text are let through at once, None where the API has not said so yet.
        Others get a 503 here: an answer of the API would cost it a tenth of a search. The API counts them in
        its metrics.
    """

    def __init__(self, app: ASGIApp, places: Callable[[], int | None] = lambda: None) -> None:
        self.app, self.places = app, places
        self._in_hand, self._refusals = 0, Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = MutableHeaders(scope=scope)
        sent = asked.get(HEADER, "")
        request_id = scope["request_id"] = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        asked[HEADER] = request_id
        body = Body(receive)
        receive = body.receive
        counted = scope["path"] in COUNTED and await body.is_small()
        started = replaced = False

        def release() -> None:
            nonlocal counted
            self._in_hand -= counted
            counted = False

        async def answer(status: int, detail: str) -> None:
            problem = problem_response(Request(scope), status, detail)
            problem.headers.update({**SECURITY_HEADERS, HEADER: request_id})
            await problem(scope, receive, send)

        async def send_with_id(message: Message) -> None:
            nonlocal started, replaced
            if message["type"] == "http.response.start":
                started, headers = True, MutableHeaders(scope=message)
                replaced = message["status"] in REASONS and OF_THE_API not in headers
                if replaced:
                    await answer(message["status"], REASONS[message["status"]])
                headers[HEADER] = request_id
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                release()  # whoever has the answer may ask again at once
            if not replaced:
                await send(message)

        places = self.places()
        if counted and places is not None and self._in_hand >= places:
            self._refusals.add(scope["path"])
            await answer(503, BUSY)
            return
        self._in_hand += counted
        self._refusals.send_with(asked)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            body.close()
            release()
        if not started:
            await answer(503, GONE)


class Body:
    """A request's body, read ahead for a moment: to know whether it is there, and small.

    Parameters
    ----------
    receive
        Of the request; `receive` of this object gives the same, from the beginning.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._read = receive, list[Message]()
        self._pending: asyncio.Task[Message] | None = None

    async def is_small(self) -> bool:
        """Whether all of it comes within a second and 256 KiB."""
        until, size, whole = time.monotonic() + BODY_SECONDS, 0, False
        while not whole and size <= BODY_BYTES:
            # Not cancelled when the time is over: what it was about to give would be lost.
            self._pending = asyncio.ensure_future(self._next())
            await asyncio.wait({self._pending}, timeout=until - time.monotonic())
            if not self._pending.done():
                return False
            self._read.append(self._pending.result())
            self._pending = None
            size += len(self._read[-1].get("body", b""))
            whole = not self._read[-1].get("more_body", False)
        return whole

    async def receive(self) -> Message:
        """The next message, of those read ahead first."""
        if self._read:
            return self._read.pop(0)
        if self._pending is not None:
            pending, self._pending = self._pending, None
            return await pending
        return await self._receive()

    def close(self) -> None:
        """Wait for no more."""
        if self._pending is not None:
            self._pending.cancel()

    async def _next(self) -> Message:
        return await self._receive()
