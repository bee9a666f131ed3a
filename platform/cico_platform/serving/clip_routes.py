"""The routes that give out what is indexed: clips, their files, collections."""

import asyncio
from typing import Annotated

from fastapi import FastAPI, Header, Response
from fastapi import Path as PathParameter

from cico_platform.serving import answers, schemas
from cico_platform.serving.collections import list_collections
from cico_platform.serving.described import PROBLEMS, Answers, problems
from cico_platform.serving.filter_values import FilterValues
from cico_platform.serving.media import media_response
from cico_platform.serving.service import SearchService

Id = Annotated[str, PathParameter(min_length=1, max_length=512)]
VIDEO = {"video/*": {"schema": {"type": "string", "format": "binary"}}}


def add_clips(app: FastAPI, service: SearchService) -> None:
    """`GET /v1/clips/{id}`, `GET /v1/clips/{id}/media`, `GET /v1/collections`, `GET /v1/filters`."""
    values = FilterValues(service.index, service.collection)
    given: Answers = {
        200: {"description": "The whole file.", "content": VIDEO},
        206: {"description": "The part that was asked for.", "content": VIDEO},
        416: {"description": "The file has no such part."},
    }

    # A clip's id may hold slashes: the media route is the more special one and comes first.
    @app.get(
        "/v1/clips/{video_id:path}/media",
        responses={**problems(404), 503: PROBLEMS[503], **given},
        response_class=Response,
        summary="The clip's file, with HTTP ranges",
    )
    async def media(video_id: Id, wanted: Annotated[str | None, Header(alias="range")] = None) -> Response:
        path = str((await service.find(video_id)).payload.get("path") or "")
        return await media_response(path, wanted, service.settings)

    @app.get("/v1/clips/{video_id:path}", responses=problems(404), summary="What is known of a clip")
    async def clip(video_id: Id) -> schemas.Clip:
        return answers.clip(await service.find(video_id))

    @app.get(
        "/v1/filters",
        responses={**problems(), 503: PROBLEMS[503]},
        summary="What can be filtered by, and how many clips have it",
    )
    async def filters() -> schemas.FiltersResponse:
        return await values.read()

    @app.get("/v1/collections", responses=problems(), summary="What the index holds")
    async def collections() -> schemas.CollectionsResponse:
        found = await asyncio.to_thread(list_collections, service.index, service.collection)
        return schemas.CollectionsResponse(collections=found)
