"""The API as an ASGI application that follows the alias: one collection answers a request throughout."""

from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from cico_platform.index.base import VectorIndex
from cico_platform.index.live import Swappable
from cico_platform.index.serving_info import ServingInfo
from cico_platform.serving.service import SearchService


@dataclass(frozen=True)
class Served:
    """A collection with all that answers from it; the index is its own."""

    index: VectorIndex
    info: ServingInfo
    service: SearchService
    app: ASGIApp

    def close(self) -> None:
        """Let go of the collection."""
        self.index.close()


class FollowingApp:
    """Hands each request to the application of what is live when it arrives.

    Requests that are being answered while another collection goes live are finished by the old one, which is
    closed after the last of them.
    """

    def __init__(self, first: Served) -> None:
        self.live: Swappable[Served] = Swappable(first)

    def places(self) -> int:
        """How many searches by text are taken at the same time now."""
        with self.live.use() as served:
            return served.service.places

    def load(self) -> float:
        """Return the share of it that is in use."""
        with self.live.use() as served:
            return served.service.load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":  # it would hold the first collection until the end
            await _lifespan(receive, send)
            return
        with self.live.use() as served:
            await served.app(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    message: Any = {"type": ""}
    while message["type"] != "lifespan.shutdown":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
