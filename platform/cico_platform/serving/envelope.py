"""Around every answer: a request id, security headers, metrics, a line in the log; around bodies, limits."""

import asyncio
import logging
import re
import time
import uuid
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cico_platform.observability.metrics import SearchMetrics
from cico_platform.serving.problems import problem_response
from cico_platform.serving.refusals import refused
from cico_platform.serving.settings import ServiceSettings

# A child of Ray Serve's logger, so that the lines are in the replica's own log.
log = logging.getLogger("ray.serve.cico")
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# What takes videos; `receive_upload` counts those.
UPLOADS = ("/v1/search/video", "/v1/search/inside", "/v1/align/video")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Envelope:
    """Gives a request an id, its client's own if that is one, and the answer that id and strict headers."""

    def __init__(self, app: ASGIApp, metrics: SearchMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        scope["request_id"] = request_id
        for route, count in refused(Headers(scope=scope)).items():
            self.metrics.requests.labels(route, "503").inc(count)
        began, status = time.perf_counter(), ""

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                extra = {**SECURITY_HEADERS, "x-request-id": request_id}
                message["headers"] = [
                    *((k, v) for k, v in message.get("headers", []) if k.decode("latin-1") not in extra),
                    *((k.encode(), v.encode()) for k, v in extra.items()),
                ]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            log.exception("request %s failed", request_id)
            if not status:
                answer = problem_response(
                    Request(scope), 500, "the service failed; its log has the request id"
                )
                await answer(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status or "500").inc()
            self.metrics.request_seconds.labels(route).observe(seconds)
            client = scope.get("cico_client", "-")
            line = "%s %s %s in %.3f s, request %s of %s"
            log.info(line, scope["method"], route, status or "500", seconds, request_id, client)


class BodyLimits:
    """Stops reading a body that is too large or comes too slowly; a video is counted as it is parsed."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = None if scope["path"] in UPLOADS else self.settings.body_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
        if limit is not None and declared.isdecimal() and int(declared[:20]) > limit:
            await problem_response(Request(scope), 413, self._too_large(limit))(scope, receive, send)
            return
        await self.app(scope, self._limited(receive, limit), send)

    def _limited(self, receive: Receive, limit: int | None) -> Receive:
        began, received, whole = time.monotonic(), 0, False

        async def limited() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            left = self.settings.upload_seconds - (time.monotonic() - began)
            try:
                message: dict[str, Any] = dict(await asyncio.wait_for(receive(), max(left, 0.001)))
            except TimeoutError:
                late = f"the body didn't come within {self.settings.upload_seconds:g} seconds"
                raise HTTPException(408, late) from None
            received += len(message.get("body", b""))
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            if limit is not None and received > limit:
                raise HTTPException(413, self._too_large(limit))
            return message

        return limited

    @staticmethod
    def _too_large(limit: int) -> str:
        return f"the body is larger than {limit >> 10} KiB"
