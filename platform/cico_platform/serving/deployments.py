"""The Ray Serve deployments: the API, which encodes texts and owns the index, rankers, encoders of videos."""

import asyncio
import logging
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import ray
import torch
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.cluster import is_started_here
from cico_platform.encoding.texts import TextQuery
from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.index.base import is_url, open_index
from cico_platform.index.inside import Inside
from cico_platform.index.live import CHECK_SECONDS
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.serving.following import FollowingApp, Served
from cico_platform.serving.http import build_app
from cico_platform.serving.limits import cores
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.rankers import Rankers, RankerServer, ranker_folder
from cico_platform.serving.rates import Ledger, OwnRates, Rates, SharedRates, Wanted
from cico_platform.serving.replica_sockets import ReplicaServer, node_folder
from cico_platform.serving.scaling import LOAD, by_load
from cico_platform.serving.service import Encoders, SearchService
from cico_platform.serving.settings import ServiceSettings
from cico_platform.serving.text_encoder import TextEncoder
from cico_platform.serving.video_encoder import VideoEncoder
from cico_platform.serving.video_file import NotHereError, VideoFile
from cico_platform.storage import on_this_machine

# A long video's stretches let short ones in between; the service asks for one long video at a time.
VIDEOS_ONGOING = 2


class Ranker:
    """Scores candidates for the API's replicas of its node, over a socket."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.server = RankerServer(ranker_folder(node_folder()))

    def __call__(self) -> str:
        """Where it listens."""
        return str(self.server.path)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Ray Serve asks for it."""
        return {LOAD: self.server.load()}

    def __del__(self) -> None:
        if hasattr(self, "server"):
            self.server.close()


class RateLedger:
    """Counts for all replicas of the API how often each client asks."""

    def __init__(self, burst: int) -> None:
        self.ledger = Ledger(burst)

    async def borrow(self, wanted: Wanted) -> tuple[int, float]:
        """Lend a replica some of a client's requests."""
        return await self.ledger.borrow(wanted)


class SearchApi:
    """The API. It keeps nothing of its own: an index on a server may have any number of replicas of it."""

    def __init__(
        self,
        location: str,
        alias: str,
        settings: ServiceSettings,
        videos: DeploymentHandle[Any],
        rankers: DeploymentHandle[Any] | None,
        ledger: DeploymentHandle[Any] | None,
    ) -> None:
        # Searches run side by side: a second thread for one would wait for those of the others.
        torch.set_num_threads(1)
        self.location, self.alias, self.settings = location, alias, settings
        self.videos = videos
        self.rankers = None if rankers is None else Rankers(lambda: ranker_folder(node_folder()))
        self.rates: Rates = OwnRates(settings.burst)
        if ledger is not None:
            self.rates = SharedRates(ledger.borrow.remote, settings.burst, self._count_alone)
        self.aliases = open_index(location, must_exist=True)
        first = self._open()
        self.following = FollowingApp(first)
        loop = asyncio.get_running_loop()
        self._following = loop.create_task(self._follow(first))
        self._server: ReplicaServer | None = None
        self._serving = loop.create_task(self._serve())

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Ray Serve asks for it."""
        return {LOAD: self.following.load()}

    def __serve_build_asgi_app__(self) -> FollowingApp:
        return self.following

    def _open(self) -> Served:
        """What is live, opened, with a service of its own."""
        index = open_index(self.location, must_exist=True)
        try:
            # What it was probed with is of no use to encoders.
            info = replace(live_serving(index, self.alias), probes=())
            model = load_retrieval_model(on_this_machine(info.model))
            encoders = Encoders(
                TextEncoder(model).encode,
                partial(self._encode_video, info),
                partial(self._look_inside, info),
            )
            service = SearchService(
                index,
                info.collection,
                model.config,
                encoders,
                self.settings,
                info.calibrations,
                None if self.rankers is None else self.rankers.score,
            )
        except BaseException:
            index.close()
            raise
        return Served(index, info, service, build_app(service, version("cico-platform"), self.rates))

    async def _serve(self) -> None:
        """Answer on a socket of this node, beside Ray's own way, which is slower."""
        try:
            self._server = ReplicaServer(self.following, self.following.places, node_folder())
            await self._server.start()
        except Exception:
            logging.getLogger(__name__).warning("requests come through Ray Serve alone", exc_info=True)

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

    def _count_alone(self) -> None:
        with self.following.live.use() as served:
            served.service.metrics.counted_alone.inc()

    async def _encode_video(
        self, info: ServingInfo, video: VideoFile, start: float | None = None, end: float | None = None
    ) -> VideoQuery | str:
        answer: VideoQuery | str = await ask_with_file(video, self.videos.encode, info, start, end)
        return answer

    async def _look_inside(
        self, info: ServingInfo, video: VideoFile, query: TextQuery, limit: int
    ) -> Inside | str:
        longest = self.settings.inside_length
        answer: Inside | str = await ask_with_file(
            video, self.videos.look_inside, query, limit, longest, info
        )
        return answer

    async def __del__(self) -> None:
        if hasattr(self, "_serving"):
            self._following.cancel()
            if self._server is not None:
                await self._server.stop()
            self.following.live.close()
            if self.rankers is not None:
                self.rankers.close()


async def ask_with_file(video: VideoFile, method: Any, *arguments: object) -> Any:
    """Ask an encoder of videos; one on another node is sent the file."""
    try:
        return await _ask(method.remote(video, *arguments))
    except NotHereError:
        data = await asyncio.to_thread(video.read)
        return await _ask(method.remote(data, *arguments))


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
    """The application: the API with the encoder of videos bound to it."""
    info = replace(info, probes=())
    videos = _video_encoder(settings).bind(info)
    api = serve.deployment(
        serve.ingress()(SearchApi),
        name="SearchApi",
        **_api_replicas(location, settings),
        max_ongoing_requests=256,
        max_queued_requests=256,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 1.0},
    )
    helpers = videos, _rankers(location, settings), _ledger(location, settings)
    application: serve.Application = api.bind(location, alias, settings, *helpers)
    return application


def _api_replicas(location: str, settings: ServiceSettings) -> dict[str, Any]:
    """An embedded collection has one owner process; a server has as many clients as the load needs."""
    if not is_url(location):
        return {"num_replicas": 1}
    return {"autoscaling_config": by_load(settings.least_replicas, settings.most_replicas)}


def _ledger(location: str, settings: ServiceSettings) -> serve.Application | None:
    """Needed where there may be several replicas and any client has a rate."""
    limited = settings.per_minute is not None or settings.keys is not None
    if not is_url(location) or settings.most_replicas == 1 or not limited:
        return None
    options = {"ray_actor_options": {"num_cpus": 0.0}, "max_ongoing_requests": 1000}
    deployed: serve.Application = serve.deployment(RateLedger, name="RateLedger", **options).bind(
        settings.burst
    )
    return deployed


def _rankers(location: str, settings: ServiceSettings) -> serve.Application | None:
    """One process a core of the cluster, or of this machine; none on a single core."""
    elsewhere = is_url(location) and ray.is_initialized() and not is_started_here()
    able = int(ray.cluster_resources().get("CPU", 1)) if elsewhere else cores()
    count = (able if able > 1 else 0) if settings.rankers is None else settings.rankers
    if not count:
        return None
    scaled = is_url(location) and settings.rankers is None
    options: dict[str, Any] = {"autoscaling_config": by_load(1, count)} if scaled else {"num_replicas": count}
    deployed: serve.Application = serve.deployment(
        Ranker,
        name="Ranker",
        graceful_shutdown_timeout_s=5,
        # An embedded index is searched by its owner's node, which has given its cores to the API.
        ray_actor_options={"num_cpus": 0.5 if is_url(location) else 0.0},
        **options,
    ).bind()
    return deployed


def _video_encoder(settings: ServiceSettings) -> Any:
    return serve.deployment(
        VideoEncoder,
        name="VideoEncoder",
        max_ongoing_requests=VIDEOS_ONGOING,
        max_queued_requests=settings.encoder_queue,
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": max(1, VIDEOS_ONGOING // 2),
        },
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 1.0},
    )
