"""The three Ray Serve deployments: texts to queries, videos to queries, and the API that owns the index."""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.encoding.texts import TextQuery, encode_texts
from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.index.base import open_index
from cico_platform.index.inside import Inside
from cico_platform.index.live import CHECK_SECONDS
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.serving.following import FollowingApp, Served
from cico_platform.serving.http import build_app
from cico_platform.serving.models import Models
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.service import Encoders, SearchService
from cico_platform.serving.settings import ServiceSettings
from cico_platform.serving.video_encoder import VideoEncoder
from cico_platform.storage import on_this_machine

MAX_BATCH = 32
BATCH_WAIT_SECONDS = 0.005
# A long video's stretches let short ones in between; the service asks for one long video at a time.
VIDEOS_ONGOING = 2


class TextEncoder:
    """Texts to queries; requests that come together are encoded together."""

    def __init__(self, info: ServingInfo) -> None:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
        self.models = Models(lambda info: load_retrieval_model(on_this_machine(info.model)))
        self.models.of(info)

    @serve.batch(  # type: ignore[untyped-decorator]
        max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_WAIT_SECONDS
    )
    async def encode(self, texts: list[str], infos: list[ServingInfo]) -> list[TextQuery | str]:
        """A query a text for the collection it is meant for, or the reason why it has none."""
        by_collection = {info.collection: info for info in infos}
        answers: list[TextQuery | str] = [""] * len(texts)
        for info in by_collection.values():
            places = [i for i, asked in enumerate(infos) if asked.collection == info.collection]
            encoded = await asyncio.to_thread(self._encode, [texts[i] for i in places], info)
            for i, answer in zip(places, encoded, strict=True):
                answers[i] = answer
        return answers

    async def encode_many(self, texts: list[str], info: ServingInfo) -> list[TextQuery | str]:
        """The texts of an index, as one batch of their own."""
        return await asyncio.to_thread(self._encode, texts, info)

    def _encode(self, texts: Sequence[str], info: ServingInfo) -> list[TextQuery | str]:
        try:
            return list(encode_texts(self.models.of(info), texts))
        except ValueError as error:
            if len(texts) == 1:
                return [f"the text can't be searched for: {error}"]
            return [answer for text in texts for answer in self._encode([text], info)]


class SearchApi:
    """The API. An embedded collection has one owner process, so this deployment has one replica."""

    def __init__(
        self,
        location: str,
        alias: str,
        settings: ServiceSettings,
        texts: DeploymentHandle[Any],
        videos: DeploymentHandle[Any],
    ) -> None:
        self.location, self.alias, self.settings = location, alias, settings
        self.texts, self.videos = texts, videos
        self.aliases = open_index(location, must_exist=True)
        first = self._open()
        self.following = FollowingApp(first)
        self._following = asyncio.get_running_loop().create_task(self._follow(first))

    def __serve_build_asgi_app__(self) -> FollowingApp:
        return self.following

    def _open(self) -> Served:
        """What is live, opened, with a service of its own."""
        index = open_index(self.location, must_exist=True)
        try:
            # What it was probed with is of no use to encoders.
            info = replace(live_serving(index, self.alias), probes=())
            config = load_retrieval_model(on_this_machine(info.model)).config
            encoders = Encoders(
                partial(self._encode_texts, info),
                partial(self._encode_video, info),
                partial(self._look_inside, info),
            )
            service = SearchService(
                index, info.collection, config, encoders, self.settings, info.calibrations
            )
        except BaseException:
            index.close()
            raise
        return Served(index, info, service, build_app(service, version("cico-platform")))

    async def _follow(self, current: Served) -> None:
        """Warm up what is live; whenever another collection goes live, open it, warm it up, and swap."""
        await self._warm(current)
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                if await asyncio.to_thread(self.aliases.alias, self.alias) == current.info.collection:
                    continue
                new = await asyncio.to_thread(self._open)
                if not await self._try_warming(new):
                    new.close()
                    continue
                self.following.live.replace(new)
                current = new
            except Exception:  # its builder may not have let go of it yet; the old one goes on answering
                logging.getLogger(__name__).warning("what is live now can't be opened yet", exc_info=True)

    async def _warm(self, served: Served) -> None:
        while not await self._try_warming(served):
            await asyncio.sleep(1)

    async def _try_warming(self, served: Served) -> bool:
        """Wait for the models, so that the first search by video need not."""
        try:
            served.service.ready = bool(await self.videos.ready.remote(served.info))
        except Exception:  # the encoder may not be up yet
            logging.getLogger(__name__).exception("the encoders are not ready; trying again")
        return served.service.ready

    async def _encode_texts(self, info: ServingInfo, texts: Sequence[str]) -> list[TextQuery | str]:
        if len(texts) == 1:
            return [await _ask(self.texts.encode.remote(texts[0], info))]
        answers: list[TextQuery | str] = await _ask(self.texts.encode_many.remote(list(texts), info))
        return answers

    async def _encode_video(self, info: ServingInfo, data: bytes) -> VideoQuery | str:
        answer: VideoQuery | str = await _ask(self.videos.encode.remote(data, info))
        return answer

    async def _look_inside(
        self, info: ServingInfo, data: bytes, query: TextQuery, limit: int
    ) -> Inside | str:
        longest = self.settings.inside_length
        answer: Inside | str = await _ask(self.videos.look_inside.remote(data, query, limit, longest, info))
        return answer

    def __del__(self) -> None:
        if hasattr(self, "following"):
            self.following.live.close()


async def _ask(response: Any) -> Any:
    """The answer of another deployment; one that nobody waits for any more is given up there, too.

    Raises
    ------
    ProblemError
        503 if it has too much to do, or is down.
    """
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
    except BackPressureError:
        raise ProblemError(503, "too many searches are waiting; try again") from None
    except (RayServeException, RayActorError) as error:
        raise ProblemError(503, f"an encoder is not there: {type(error).__name__}; try again") from error


def build(location: str, info: ServingInfo, alias: str, settings: ServiceSettings) -> serve.Application:
    """The application: the API with its two encoders bound to it."""
    info = replace(info, probes=())
    texts = _encoder(TextEncoder, settings, num_cpus=0.5, ongoing=MAX_BATCH).bind(info)
    videos = _encoder(VideoEncoder, settings, num_cpus=1.0, ongoing=VIDEOS_ONGOING).bind(info)
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
