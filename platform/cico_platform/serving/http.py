"""The HTTP API and the page, as a FastAPI app over a search service."""

from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST

from cico_platform.serving.clip_routes import add_clips
from cico_platform.serving.described import PROBLEMS, describe
from cico_platform.serving.envelope import BodyLimits, Envelope
from cico_platform.serving.feedback_routes import add_feedback
from cico_platform.serving.guard import Guard
from cico_platform.serving.keys import read_keys
from cico_platform.serving.problems import ProblemError, install_handlers
from cico_platform.serving.rates import Rates
from cico_platform.serving.search_routes import add_aligning, add_inside, add_search
from cico_platform.serving.service import SearchService

PAGE = Path(__file__).parent / "page"
CORS_HEADERS = ["authorization", "content-type", "range", "x-api-key", "x-request-id"]
CORS_EXPOSED = ["x-request-id", "retry-after", "content-range", "accept-ranges"]


def build_app(service: SearchService, version: str, rates: Rates | None = None) -> FastAPI:
    """The app: search, alignment, clips, collections, health, metrics, the page.

    Parameters
    ----------
    rates
        What counts how often a client asks; of this app alone if it is None.

    Raises
    ------
    InputError
        If keys are needed and their file can't be read.
    """
    settings = service.settings
    if settings.keys is not None:
        read_keys(settings.keys)
    app = FastAPI(
        title="CiCo Platform",
        version=version,
        description="Find the sign video that says a sentence, and the sentence that a sign video says.",
        docs_url=None,
        redoc_url=None,
    )
    install_handlers(app)
    add_search(app, service)
    add_inside(app, service)
    add_aligning(app, service)
    add_clips(app, service)
    add_feedback(app, service)
    _add_operations(app, service)
    describe(app, settings)
    # The last is the outermost.
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(Guard, settings=settings, rates=rates)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=CORS_HEADERS,
            expose_headers=CORS_EXPOSED,
        )
    app.add_middleware(Envelope, metrics=service.metrics)
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    return app


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
