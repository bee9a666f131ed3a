"""Around Ray Serve's proxy: one request id for whoever answers, and an answer where a replica died."""

import uuid

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cico_platform.serving.envelope import REQUEST_ID
from cico_platform.serving.problems import problem_response

# Ray Serve's proxy calls the function that is named so, in its own process: the way that Ray left for this.
SETTING = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
IMPORT_PATH = "cico_platform.serving.proxy:middlewares"
HEADER = "x-request-id"
# The API's own answers have it, those that the proxy makes up have not.
OF_THE_API = "x-content-type-options"
GONE = "the service lost the process that was answering; try again"
REASONS = {
    404: "nothing is served at this path",
    408: "the service did not answer in time",
    503: "the service is starting, or has too much to do; try again",
}


def middlewares() -> list[Middleware]:
    """What the proxy puts around everything that it answers."""
    return [Middleware(ProxyEnvelope)]


class ProxyEnvelope:
    """Gives a request its id before the API sees it, and each answer that one id.

    Ray Serve's proxy sends nothing where a replica died with the request in its hands: that becomes a 503.
    Errors that the proxy answers itself become the API's kind of errors.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = MutableHeaders(scope=scope)
        sent = asked.get(HEADER, "")
        request_id = scope["request_id"] = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        asked[HEADER] = request_id
        started = replaced = False

        async def answer(status: int, detail: str) -> None:
            problem = problem_response(Request(scope), status, detail)
            problem.headers[HEADER] = request_id
            await problem(scope, receive, send)

        async def send_with_id(message: Message) -> None:
            nonlocal started, replaced
            if message["type"] == "http.response.start":
                started, headers = True, MutableHeaders(scope=message)
                replaced = message["status"] in REASONS and OF_THE_API not in headers
                if replaced:
                    await answer(message["status"], REASONS[message["status"]])
                headers[HEADER] = request_id
            if not replaced:
                await send(message)

        await self.app(scope, receive, send_with_id)
        if not started:
            await answer(503, GONE)
