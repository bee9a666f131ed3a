"""The routes that search and align."""

import json
import time
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from pydantic import BaseModel, ValidationError

from cico_platform.index.clips import MAX_DEPTH
from cico_platform.index.ranking import Ranked
from cico_platform.serving import answers, schemas
from cico_platform.serving.aligning import Aligned
from cico_platform.serving.described import ALIGN_FORM, INSIDE_FORM, SEARCH_FORM, form, problems
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.service import ClipPart, SearchService
from cico_platform.serving.uploads import Upload, receive_upload

M = TypeVar("M", bound=BaseModel)
SENT = problems(400, 408, 413, 503)


def add_search(app: FastAPI, service: SearchService) -> None:
    """`POST /v1/search`, `POST /v1/search/video` and `POST /v1/search/clip`."""

    @app.post("/v1/search", responses=SENT, summary="Find clips that say a sentence")
    async def search(body: schemas.SearchRequest, request: Request) -> schemas.SearchResponse:
        began = time.perf_counter()
        with service.admitted(_client(request)):
            # One more than is shown says whether there is a next page.
            ranked = await service.by_text(body.text, body.limit + 1, body.filters, body.offset)
            return await _found(request, service, "text", body, ranked, began)

    described = form(SEARCH_FORM, "file")

    @app.post(
        "/v1/search/video", responses=SENT, openapi_extra=described, summary="Find the sentence a video signs"
    )
    async def search_by_video(request: Request) -> schemas.SearchResponse:
        began = time.perf_counter()
        with service.admitted(_client(request)):
            async with receive_upload(request, service.settings.upload_bytes) as upload:
                body = _fields(schemas.VideoForm, upload)
                part = {"start": body.start, "end": body.end}
                ranked = await service.by_video(
                    upload.video, body.limit + 1, body.filters, body.offset, **part
                )
            return await _found(request, service, "video", body, ranked, began)

    @app.post(
        "/v1/search/clip",
        responses={**SENT, **problems(404)},
        summary="Find what a part of an indexed clip signs, or clips that look like it",
    )
    async def search_by_clip(body: schemas.ClipRequest, request: Request) -> schemas.SearchResponse:
        began = time.perf_counter()
        part = ClipPart(body.video_id, body.start, body.end)
        with service.admitted(_client(request)):
            ranked = await service.by_clip(part, body.find, body.limit + 1, body.filters, body.offset)
            # What probabilities mean was measured on whole videos with sentences.
            way = "video" if body.find == "sentences" and part[1:] == (None, None) else None
            return await _found(request, service, way, body, ranked, began)


def add_inside(app: FastAPI, service: SearchService) -> None:
    """`POST /v1/search/inside`."""
    described = form(INSIDE_FORM, "file", "text")

    @app.post(
        "/v1/search/inside",
        responses=SENT,
        openapi_extra=described,
        summary="Find when a sentence is signed in a long video",
    )
    async def search_inside(request: Request) -> schemas.InsideResponse:
        began = time.perf_counter()
        with service.admitted(_client(request)):
            async with receive_upload(request, service.settings.upload_bytes) as upload:
                asked = _fields(schemas.InsideForm, upload)
                found = await service.inside(asked.text, upload.video, asked.limit)
        return schemas.InsideResponse(
            text=asked.text,
            ranges=[answers.video_range(one) for one in found.ranges],
            read_seconds=round(found.read, 3),
            seconds=round(time.perf_counter() - began, 4),
            request_id=_request_id(request),
        )


def add_aligning(app: FastAPI, service: SearchService) -> None:
    """`POST /v1/align` and `POST /v1/align/video`."""

    @app.post(
        "/v1/align",
        responses={**SENT, **problems(404)},
        summary="Find when an indexed clip signs the words of a sentence",
    )
    async def align(body: schemas.AlignRequest, request: Request) -> schemas.AlignResponse:
        began = time.perf_counter()
        with service.admitted(_client(request)):
            aligned = await service.align_clip(body.text, body.video_id)
        return _aligned(request, service, body.text, body.video_id, aligned, began)

    described = form(ALIGN_FORM, "file", "text")

    @app.post(
        "/v1/align/video",
        responses=SENT,
        openapi_extra=described,
        summary="Find when a video signs the words of a sentence",
    )
    async def align_video(request: Request) -> schemas.AlignResponse:
        began = time.perf_counter()
        with service.admitted(_client(request)):
            async with receive_upload(request, service.settings.upload_bytes) as upload:
                text = _fields(schemas.AlignForm, upload).text
                aligned = await service.align_video(text, upload.video)
        return _aligned(request, service, text, None, aligned, began)


async def _found(
    request: Request,
    service: SearchService,
    way: str | None,
    body: schemas.Paging,
    ranked: list[Ranked],
    began: float,
) -> schemas.SearchResponse:
    known = None if way is None else service.calibrations.get(way)
    shown = ranked[: body.limit]
    best = shown[0] if shown and body.page == 1 else None
    nothing_fits = None
    if known is not None and body.page == 1:
        nothing_fits = best is None or not known.fits(best.score)
    deeper = len(ranked) > body.limit and (body.page + 1) * body.limit <= MAX_DEPTH
    return schemas.SearchResponse(
        results=[answers.result(one, known) for one in shown],
        nothing_fits=nothing_fits,
        page=body.page,
        next_page=body.page + 1 if deeper else None,
        takes_feedback=service.settings.feedback is not None,
        seconds=round(time.perf_counter() - began, 4),
        request_id=_request_id(request),
    )


def _aligned(
    request: Request,
    service: SearchService,
    text: str,
    video_id: str | None,
    found: Aligned,
    began: float,
) -> schemas.AlignResponse:
    weights = found.weights
    return schemas.AlignResponse(
        video_id=video_id,
        text=text,
        score=round(found.score, 6),
        probability=answers.probability(found.score, service.calibrations.get("text")),
        words=answers.word_times(found.words),
        windows=[schemas.WindowTime(start=round(s, 3), end=round(e, 3)) for s, e in found.windows],
        map_words=weights.words,
        text_to_video=weights.text_to_video.astype(float).round(5).tolist(),
        video_to_text=weights.video_to_text.astype(float).round(5).tolist(),
        seconds=round(time.perf_counter() - began, 4),
        request_id=_request_id(request),
    )


def _client(request: Request) -> str:
    return str(request.scope.get("cico_client", "unknown"))


def _request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


def _fields(kind: type[M], upload: Upload) -> M:
    """The fields of a form; `filters` is JSON, and a field that is empty was not given."""
    values: dict[str, Any] = {name: value for name, value in upload.fields.items() if value}
    try:
        if "filters" in values:
            values["filters"] = json.loads(values["filters"])
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"])
        raise ProblemError(422, f"{where}: {found['msg']}" if where else str(found["msg"])) from error
    except (ValueError, RecursionError) as error:
        raise ProblemError(422, "filters: not JSON, or too deep") from error
