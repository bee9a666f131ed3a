"""The API without Ray: the real app on a real index, with the real models in this process."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx

from cico_model.calibration import Calibration
from cico_platform.encoding.long_videos import LongVideoSettings, read_long_video
from cico_platform.encoding.texts import TextQuery, encode_texts
from cico_platform.encoding.video_queries import VideoQuery, encode_video
from cico_platform.errors import InputError
from cico_platform.index.inside import Inside, find_inside
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import clip_encoder_of
from cico_platform.serving import service as serving
from cico_platform.serving.service import SearchService
from cico_platform.serving.settings import ServiceSettings
from cico_platform.serving.video_file import VideoFile

SETTINGS = ServiceSettings(upload_bytes=200_000, searches_per_client=2, text_seconds=30)


class Encoders:
    """The real models in this process; `hold` makes texts wait, as under load."""

    def __init__(self, searcher: Searcher) -> None:
        self.model, self.info = searcher.model, searcher.info
        self.fast = clip_encoder_of(searcher.info, searcher.model, threads=1)
        self.hold, self.longest = 0.0, 20.0

    def ways(self) -> serving.Encoders:
        """As the service takes them."""
        return serving.Encoders(self.texts, self.video, self.inside)

    async def texts(self, texts: Sequence[str]) -> list[TextQuery | str]:
        await asyncio.sleep(self.hold)
        return list(encode_texts(self.model, texts))

    async def video(
        self, video: VideoFile, start: float | None = None, end: float | None = None
    ) -> VideoQuery | str:
        try:
            return encode_video(video.path, self.fast, start=start, end=end)
        except InputError as error:
            return str(error)

    async def inside(self, video: VideoFile, query: TextQuery, limit: int) -> Inside | str:
        settings = LongVideoSettings(chunk=4.0, longest=self.longest)
        try:
            read = read_long_video(video.path, self.fast, settings)
        except InputError as error:
            return str(error)
        return find_inside(read, query, self.model, limit)


def make_service(
    searcher: Searcher,
    encoders: Encoders,
    settings: ServiceSettings = SETTINGS,
    calibrations: dict[str, Calibration] | None = None,
) -> SearchService:
    """A service that is ready, as `SearchApi` makes it."""
    info, config = searcher.info, searcher.model.config
    service = SearchService(searcher.index, info.collection, config, encoders.ways(), settings, calibrations)
    service.ready = True
    return service


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an answer that must be this error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["detail"]
    return body
