"""What the OpenAPI says beside the models: errors, forms, keys."""

from typing import Any

from fastapi import FastAPI

from cico_platform.encoding.limits import MAX_TEXT
from cico_platform.index.clips import MAX_DEPTH, MAX_LIMIT
from cico_platform.serving.schemas import Problem
from cico_platform.serving.settings import ServiceSettings

Answers = dict[int | str, dict[str, Any]]
MEDIA_TYPE = "application/problem+json"
PROBLEMS: dict[int, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, text in {
        400: "The body can't be read.",
        401: "An API key is needed.",
        404: "There is no such clip, or its file is not given out.",
        408: "The body came too slowly.",
        413: "The body or the video is too large.",
        422: "The request can't be answered; `detail` says why.",
        429: "Too many requests of this client; try again after `Retry-After` seconds.",
        503: "Busy or not ready; try again after `Retry-After` seconds.",
    }.items()
}
FILE = {"type": "string", "format": "binary", "description": "The sign video."}
SEARCH_FORM = {
    "file": FILE,
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 10},
    "page": {"type": "integer", "minimum": 1, "maximum": MAX_DEPTH, "default": 1},
    "filters": {"type": "string", "description": "JSON, as the `filters` of a search by text."},
    "start": {
        "type": "number",
        "minimum": 0,
        "maximum": 86400,
        "description": "Of the part, in seconds.",
    },
    "end": {
        "type": "number",
        "minimum": 0,
        "maximum": 86400,
        "description": "Of the part, in seconds.",
    },
}
INSIDE_FORM = {
    "file": FILE,
    "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 10},
}
ALIGN_FORM = {"file": FILE, "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}}


def problems(*statuses: int) -> Answers:
    """Descriptions of errors, with those that every guarded route has."""
    return {status: PROBLEMS[status] for status in sorted({*statuses, 401, 422, 429})}


def form(fields: dict[str, Any], *required: str) -> dict[str, Any]:
    """A multipart body that is read as it comes, which FastAPI can't describe by itself."""
    schema = {"type": "object", "required": list(required), "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def describe(app: FastAPI, settings: ServiceSettings) -> None:
    """Say in the app's OpenAPI that it needs a key, if it does, and that errors are problems."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = make()
            schemas = described.get("components", {}).get("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            if settings.keys is not None:
                bearer = {"type": "http", "scheme": "bearer"}
                described.setdefault("components", {})["securitySchemes"] = {"key": bearer}
                for path, operations in described["paths"].items():
                    for operation in operations.values() if path.startswith("/v1/") else ():
                        operation["security"] = [{"key": []}]
        return app.openapi_schema or make()

    app.openapi = openapi  # type: ignore[method-assign]
