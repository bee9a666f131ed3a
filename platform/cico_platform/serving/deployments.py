"""The three Ray Serve deployments: texts to queries, videos to queries, and the API that owns the index."""

import asyncio
import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, Generic, TypeVar

import torch
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from cico_model.inference import InferenceEncoder
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import InputError
from cico_platform.index.base import open_index
from cico_platform.index.live import CHECK_SECONDS
from cico_platform.index.queries import TextQuery, VideoQuery, encode_texts, encode_video, load_encoders
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.serving.following import FollowingApp, Served
from cico_platform.serving.http import build_app
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.service import SearchService
from cico_platform.serving.settings import ServiceSettings
from cico_platform.storage import on_this_machine

MAX_BATCH = 32
BATCH_WAIT_SECONDS = 0.005
# What is live, and what was live before or will be next.
MODELS_KEPT = 2
Loaded = TypeVar("Loaded")


class Models(Generic[Loaded]):
    """Models of the collections that are asked for; those of the latest two stay in memory."""

    def __init__(self, load: Callable[[ServingInfo], Loaded]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()

    def of(self, info: ServingInfo) -> Loaded:
        """The models that a collection was built with."""
        with self._lock:
            if info.collection not in self._loaded:
                self._loaded[info.collection] = self._load(info)
                while len(self._loaded) > MODELS_KEPT:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(info.collection)
            return self._loaded[info.collection]


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


class VideoEncoder:
    """Video files to queries, one at a time, within the limits of decoding."""

    def __init__(self, info: ServingInfo) -> None:
        threads = os.cpu_count() or 1
        torch.set_num_threads(threads)

        def load(info: ServingInfo) -> tuple[RetrievalModel, list[InferenceEncoder]]:
            return load_retrieval_model(on_this_machine(info.model)), load_encoders(info, threads=threads)

        self.models = Models(load)
        self.models.of(info)

    async def ready(self, info: ServingInfo) -> bool:
        """True, once the models of a collection are loaded."""
        await asyncio.to_thread(self.models.of, info)
        return True

    async def encode(self, data: bytes, info: ServingInfo) -> VideoQuery | str:
        """A query, or the reason why the file has none."""
        return await asyncio.to_thread(self._encode, data, info)

    def _encode(self, data: bytes, info: ServingInfo) -> VideoQuery | str:
        model, encoders = self.models.of(info)
        with tempfile.NamedTemporaryFile(prefix="cico-query-", suffix=".video") as file:
            file.write(data)
            file.flush()
            try:
                return encode_video(file.name, encoders, info.alpha, model)
            except InputError as error:
                return str(error)


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
            texts, videos = partial(self._encode_texts, info), partial(self._encode_video, info)
            service = SearchService(
                index, info.collection, config, texts, videos, self.settings, info.calibrations
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
        """Encode the index's texts and wait for the models, so that the first search by video need not."""
        try:
            await served.service.bank()
            served.service.ready = bool(await self.videos.ready.remote(served.info))
        except Exception:  # the encoder may not be up yet
            logging.getLogger(__name__).exception("the texts could not be encoded; trying again")
        return served.service.ready

    async def _encode_texts(self, info: ServingInfo, texts: Sequence[str]) -> list[TextQuery | str]:
        if len(texts) == 1:
            return [await _ask(self.texts.encode.remote(texts[0], info))]
        answers: list[TextQuery | str] = await _ask(self.texts.encode_many.remote(list(texts), info))
        return answers

    async def _encode_video(self, info: ServingInfo, data: bytes) -> VideoQuery | str:
        answer: VideoQuery | str = await _ask(self.videos.encode.remote(data, info))
        return answer

    def __del__(self) -> None:
        if hasattr(self, "following"):
            self.following.live.close()


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
    except (RayServeException, RayActorError) as error:
        raise ProblemError(503, f"an encoder is not there: {type(error).__name__}; try again") from error


def build(location: str, info: ServingInfo, alias: str, settings: ServiceSettings) -> serve.Application:
    """The application: the API with its two encoders bound to it."""
    info = replace(info, probes=())
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
