"""The HTTP API and the page, as a FastAPI app over a search service."""

import json
import logging
import re
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cico_platform.index.clips import Filters
from cico_platform.index.ranking import Ranked
from cico_platform.observability.metrics import SearchMetrics
from cico_platform.serving import schemas
from cico_platform.serving.problems import ProblemError, install_handlers, problem_response
from cico_platform.serving.service import SearchService
from cico_platform.serving.uploads import receive_upload

log = logging.getLogger(__name__)
PAGE = Path(__file__).parent / "page"
PROBLEMS: dict[int, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {}}}
    for status, text in {
        400: "The body can't be read.",
        404: "There is no such clip.",
        413: "The video is too large.",
        422: "The request can't be answered; `detail` says why.",
        429: "Too many searches of this client at once.",
        503: "Busy or not ready; try again after `Retry-After` seconds.",
    }.items()
}
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
Answers = dict[int | str, dict[str, Any]]
Id = Annotated[str, PathParameter(min_length=1, max_length=512)]


def build_app(service: SearchService, version: str) -> FastAPI:
    """The app: search, clips, health, metrics, the page."""
    app = FastAPI(
        title="CiCo Platform",
        version=version,
        description="Find the sign video that says a sentence, and the sentence that a sign video says.",
        docs_url=None,
        redoc_url=None,
    )
    install_handlers(app)
    _add_search(app, service)
    _add_clips(app, service)
    _add_operations(app, service)
    app.add_middleware(Envelope, metrics=service.metrics)
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    return app


def _add_search(app: FastAPI, service: SearchService) -> None:
    answers: Answers = {status: PROBLEMS[status] for status in (400, 413, 422, 429, 503)}

    @app.post("/v1/search", responses=answers, summary="Find clips that say a sentence")
    async def search(body: schemas.SearchRequest, request: Request) -> schemas.SearchResponse:
        began = time.perf_counter()
        with service.admitted(_client(request)):
            ranked = await service.by_text(body.text, body.limit, body.filters)
        return _response(request, ranked, began)

    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "The sign video."},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
            "filters": {"type": "string", "description": "JSON, as the `filters` of a search by text."},
        },
    }
    body = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}

    @app.post(
        "/v1/search/video", responses=answers, openapi_extra=body, summary="Find the sentence a video signs"
    )
    async def search_by_video(request: Request) -> schemas.SearchResponse:
        began = time.perf_counter()
        with service.admitted(_client(request)):
            async with receive_upload(request, service.settings.upload_bytes) as upload:
                limit, filters = _form_fields(upload.fields)
                data = upload.file.read()
            ranked = await service.by_video(data, limit, filters)
        return _response(request, ranked, began)


def _add_clips(app: FastAPI, service: SearchService) -> None:
    answers: Answers = {404: PROBLEMS[404], 422: PROBLEMS[422]}

    # A clip's id may hold slashes: the media route is the more special one and comes first.
    @app.get(
        "/v1/clips/{video_id:path}/media", responses=answers, summary="The clip's file, with HTTP ranges"
    )
    async def media(video_id: Id) -> FileResponse:
        path, kind = await service.media(video_id)
        return FileResponse(path, media_type=kind, headers={"cache-control": "private, max-age=3600"})

    @app.get("/v1/clips/{video_id:path}", responses=answers, summary="What is known of a clip")
    async def clip(video_id: Id) -> schemas.Clip:
        return schemas.clip(await service.find(video_id))


def _add_operations(app: FastAPI, service: SearchService) -> None:
    @app.get("/healthz", summary="Whether the service lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", responses={503: PROBLEMS[503]}, summary="Whether searches can be answered")
    async def readyz(response: Response) -> dict[str, str]:
        if not service.ready:
            raise ProblemError(503, "the models are being loaded")
        response.headers["cache-control"] = "no-store"
        return {"status": "ready", "collection": service.collection}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _response(request: Request, ranked: list[Ranked], began: float) -> schemas.SearchResponse:
    return schemas.SearchResponse(
        results=[schemas.result(one) for one in ranked],
        seconds=round(time.perf_counter() - began, 4),
        request_id=str(request.scope.get("request_id", "")),
    )


def _form_fields(fields: dict[str, str]) -> tuple[int, Filters]:
    try:
        limit = TypeAdapter(schemas.Limit).validate_python(fields.get("limit") or 10)
        filters = Filters.model_validate(json.loads(fields.get("filters") or "{}"))
    except json.JSONDecodeError as error:
        raise ProblemError(422, "filters: not JSON") from error
    except (ValidationError, RecursionError) as error:
        found = (
            error.errors()[0]
            if isinstance(error, ValidationError)
            else {"loc": ("filters",), "msg": "too deep"}
        )
        where = ".".join(str(part) for part in found["loc"]) or "limit"
        raise ProblemError(422, f"{where}: {found['msg']}") from error
    return limit, filters


class Envelope:
    """Around every answer: a request id, security headers, metrics."""

    def __init__(self, app: ASGIApp, metrics: SearchMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        scope["request_id"] = request_id
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
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status or "500").inc()
            self.metrics.request_seconds.labels(route).observe(time.perf_counter() - began)
