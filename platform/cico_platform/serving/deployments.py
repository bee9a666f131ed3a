"""The three Ray Serve deployments: texts to queries, videos to queries, and the API that owns the index."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from fastapi import FastAPI
from ray import serve
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import InputError
from cico_platform.index.base import open_index
from cico_platform.index.queries import TextQuery, VideoQuery, encode_texts, encode_video, load_encoders
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.serving.http import build_app
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.service import SearchService
from cico_platform.serving.settings import ServiceSettings
from cico_platform.storage import on_this_machine

MAX_BATCH = 32
BATCH_WAIT_SECONDS = 0.005


class TextEncoder:
    """Texts to queries; requests that come together are encoded together."""

    def __init__(self, info: ServingInfo) -> None:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
        self.model = load_retrieval_model(on_this_machine(info.model))

    @serve.batch(  # type: ignore[untyped-decorator]
        max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_WAIT_SECONDS
    )
    async def encode(self, texts: list[str]) -> list[TextQuery | str]:
        """A query a text, or the reason why a text has none."""
        return await asyncio.to_thread(self._encode, texts)

    async def encode_many(self, texts: list[str]) -> list[TextQuery | str]:
        """The texts of an index, as one batch of their own."""
        return await asyncio.to_thread(self._encode, texts)

    def _encode(self, texts: Sequence[str]) -> list[TextQuery | str]:
        try:
            return list(encode_texts(self.model, texts))
        except ValueError as error:
            if len(texts) == 1:
                return [f"the text can't be searched for: {error}"]
            return [answer for text in texts for answer in self._encode([text])]


class VideoEncoder:
    """Video files to queries, one at a time, within the limits of decoding."""

    def __init__(self, info: ServingInfo) -> None:
        threads = os.cpu_count() or 1
        torch.set_num_threads(threads)
        self.model = load_retrieval_model(on_this_machine(info.model))
        self.encoders = load_encoders(info, threads=threads)
        self.alpha = info.alpha

    async def ready(self) -> bool:
        """True, once the models are loaded."""
        return True

    async def encode(self, data: bytes) -> VideoQuery | str:
        """A query, or the reason why the file has none."""
        return await asyncio.to_thread(self._encode, data)

    def _encode(self, data: bytes) -> VideoQuery | str:
        with tempfile.NamedTemporaryFile(prefix="cico-query-", suffix=".video") as file:
            file.write(data)
            file.flush()
            try:
                return encode_video(file.name, self.encoders, self.alpha, self.model)
            except InputError as error:
                return str(error)


class SearchApi:
    """The API. An embedded index has one owner process, so this deployment has one replica."""

    def __init__(
        self,
        location: str,
        alias: str,
        settings: ServiceSettings,
        texts: DeploymentHandle[Any],
        videos: DeploymentHandle[Any],
    ) -> None:
        self.index = open_index(location, must_exist=True)
        info = live_serving(self.index, alias)
        config = load_retrieval_model(on_this_machine(info.model)).config
        self.texts, self.videos = texts, videos
        self.service = SearchService(
            self.index,
            info.collection,
            config,
            self._encode_texts,
            self._encode_video,
            settings,
            info.calibrations,
        )
        self._warming = asyncio.get_running_loop().create_task(self._warm())

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self.service, version("cico-platform"))

    async def _warm(self) -> None:
        """Encode the index's texts and wait for the models, so that the first search by video need not."""
        while not self.service.ready:
            try:
                await self.service.bank()
                self.service.ready = bool(await self.videos.ready.remote())
            except Exception:  # the encoder may not be up yet
                logging.getLogger(__name__).exception("the texts could not be encoded; trying again")
                await asyncio.sleep(1)

    async def _encode_texts(self, texts: Sequence[str]) -> list[TextQuery | str]:
        if len(texts) == 1:
            return [await _ask(self.texts.encode.remote(texts[0]))]
        answers: list[TextQuery | str] = await _ask(self.texts.encode_many.remote(list(texts)))
        return answers

    async def _encode_video(self, data: bytes) -> VideoQuery | str:
        answer: VideoQuery | str = await _ask(self.videos.encode.remote(data))
        return answer

    def __del__(self) -> None:
        if hasattr(self, "index"):
            self.index.close()


async def _ask(response: Any) -> Any:
    """The answer of another deployment.

    Raises
    ------
    ProblemError
        503 if it has too much to do, or is down.
    """
    try:
        return await response
    except BackPressureError:
        raise ProblemError(503, "too many searches are waiting; try again") from None
    except RayServeException as error:
        raise ProblemError(503, f"an encoder is not there: {type(error).__name__}") from error


def build(location: str, info: ServingInfo, alias: str, settings: ServiceSettings) -> serve.Application:
    """The application: the API with its two encoders bound to it."""
    texts = _encoder(TextEncoder, settings, num_cpus=0.5, ongoing=MAX_BATCH).bind(info)
    videos = _encoder(VideoEncoder, settings, num_cpus=1.0, ongoing=1).bind(info)
    api = serve.deployment(
        serve.ingress()(SearchApi),
        name="SearchApi",
        num_replicas=1,
        max_ongoing_requests=256,
        max_queued_requests=256,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 0.5},
    )
    application: serve.Application = api.bind(location, alias, settings, texts, videos)
    return application


def _encoder(kind: type, settings: ServiceSettings, num_cpus: float, ongoing: int) -> Any:
    return serve.deployment(
        kind,
        name=kind.__name__,
        max_ongoing_requests=ongoing,
        max_queued_requests=settings.encoder_queue,
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": max(1, ongoing // 2),
        },
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": num_cpus},
    )
