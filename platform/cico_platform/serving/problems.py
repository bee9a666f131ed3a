"""Errors of the API as problem+json (RFC 9457): what was wrong, and the request's id to ask about."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cico_platform.errors import CicoError, InputError

RETRY_SECONDS = 2
MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """A request that gets an error: its HTTP status, and why in a sentence."""

    def __init__(self, status: int, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.extra = status, detail, extra


def problem_response(
    request: Request, status: int, detail: str, *, retry_after: int | None = None, **extra: Any
) -> JSONResponse:
    """The body that every error has; `retry_after` is in seconds."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request.scope.get("request_id", ""),
        **extra,
    }
    busy = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    headers = {"Retry-After": str(retry_after or RETRY_SECONDS)} if busy else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="cico"'
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Answer errors that are known with problem+json; the envelope answers the others."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> JSONResponse:
        return problem_response(request, error.status, error.detail, **error.extra)

    @app.exception_handler(CicoError)
    async def _cico(request: Request, error: CicoError) -> JSONResponse:
        status = 422 if isinstance(error, InputError) else 503
        return problem_response(request, status, str(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = [
            {"where": ".".join(str(part) for part in e["loc"]), "what": str(e["msg"])} for e in error.errors()
        ]
        if any(e["type"] == "json_invalid" for e in error.errors()):
            return problem_response(request, 400, "the body is not JSON")
        detail = "; ".join(f"{e['where']}: {e['what']}" for e in found[:5])
        return problem_response(request, 422, detail, errors=found[:20])

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        answer = problem_response(request, error.status_code, str(error.detail))
        answer.headers.update({k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"})
        return answer
