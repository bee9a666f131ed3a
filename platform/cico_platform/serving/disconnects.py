"""Stops working on a request when its client has gone away."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def until_disconnected(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request; cancel that when its client goes away after its body has come."""
    watched = _Watched(receive)
    working = asyncio.ensure_future(app(scope, watched.receive, send))
    watched.working = working
    try:
        await working
    except asyncio.CancelledError:
        if not watched.gone:
            working.cancel()
            raise
    finally:
        watched.close()


class _Watched:
    """The messages of a request, of which one is always being waited for once its body has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.working: asyncio.Future[None] | None = None
        self.gone = False
        self._last: asyncio.Task[Message] | None = None

    async def receive(self) -> Message:
        if self._last is not None:
            return await asyncio.shield(self._last)
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._last = asyncio.create_task(self._wait())
        return message

    async def _wait(self) -> Message:
        message = await self._receive()
        self.gone = True
        if self.working is not None:
            self.working.cancel()
        return message

    def close(self) -> None:
        if self._last is not None:
            self._last.cancel()
