"""The service behind the API: it owns the index, asks the encoders, ranks; no HTTP, no Ray."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from cico_model.calibration import Calibration
from cico_model.config import TowerConfig
from cico_platform.encoding.texts import TextQuery, check_text
from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.errors import InputError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clip_parts import part_of_clip
from cico_platform.index.clips import Filters, Hit
from cico_platform.index.deadlines import limited
from cico_platform.index.inside import Inside
from cico_platform.index.ranking import Ranked, Ranking
from cico_platform.index.similar_clips import similar_clips
from cico_platform.index.spread_ranking import Score, SpreadRanking
from cico_platform.index.texts import open_whole
from cico_platform.observability.metrics import SearchMetrics
from cico_platform.serving.aligning import Aligned, align_clip, align_video
from cico_platform.serving.limits import AdaptiveLimit, cores
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.settings import ServiceSettings
from cico_platform.serving.video_file import VideoFile

TOO_BUSY = "the service has too much to do to answer in time; try again"
TOO_LONG = "the video could not be searched in within the time there is; try again, or send a part of it"
# Searches a core whose candidates rankers may be scoring at the same time.
WAITING = 8
Answer = TypeVar("Answer")


class ClipPart(NamedTuple):
    """An indexed clip, and a part of it in seconds within the clip; None is the clip's own start or end."""

    video_id: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Encoders:
    """What encodes for a service, wherever it runs; an answer that is a text says why there is no other.

    Attributes
    ----------
    texts, video
        Texts, and a video file or its part from a start to an end (seconds), to queries.
    look_inside
        A long video file, a sentence and how many parts of the video are wanted, to those parts.
    """

    texts: Callable[[Sequence[str]], Awaitable[list[TextQuery | str]]]
    video: Callable[[VideoFile, float | None, float | None], Awaitable[VideoQuery | str]]
    look_inside: Callable[[VideoFile, TextQuery, int], Awaitable[Inside | str]]


class SearchService:
    """Searches one collection for many clients.

    Parameters
    ----------
    index, collection
        What is searched; the index is this service's own.
    config
        Of the retrieval model.
    encoders
        What encodes texts and videos.
    calibrations
        What scores of a search by `text` and by `video` mean.
    score
        What scores candidates, if not the thread that searches.
    """

    def __init__(
        self,
        index: VectorIndex,
        collection: str,
        config: TowerConfig,
        encoders: Encoders,
        settings: ServiceSettings | None = None,
        calibrations: Mapping[str, Calibration] | None = None,
        score: Score | None = None,
    ) -> None:
        self.index, self.collection = index, collection
        self.settings = settings or ServiceSettings()
        self.metrics = SearchMetrics()
        self.ranking = (
            Ranking(index, collection, config)
            if score is None
            else SpreadRanking(index, collection, config, score)
        )
        self.calibrations = calibrations or {}
        self.encoders = encoders
        # Whether both kinds of search can be answered at once; set by whoever starts the encoders.
        self.ready = False
        # A thread that waits for rankers needs no core.
        threads = cores() if score is None else WAITING * cores()
        self._rankings = asyncio.Semaphore(self.settings.rankings or threads)
        self._threads = ThreadPoolExecutor(self.settings.rankings or threads, "searches")
        self._limit = AdaptiveLimit(self.settings.rankings or cores(), self.settings.searches)
        self._long_videos, self._long_asked = asyncio.Semaphore(1), 0
        self._clients: Counter[str] = Counter()
        self.metrics.clips.set(open_whole(index, collection))
        self.metrics.places.set(self._limit.limit)

    async def by_text(self, text: str, limit: int, filters: Filters, offset: int = 0) -> list[Ranked]:
        """The clips that say a sentence."""
        with self._taken_in_hand():
            query = await self._text_query(text)
            return await self._rank("text", self.ranking.by_text, query, limit, filters, offset)

    async def by_video(
        self,
        video: VideoFile,
        limit: int,
        filters: Filters,
        offset: int = 0,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> list[Ranked]:
        """The sentences that a video file, or its part from `start` to `end` (seconds), may sign."""
        query = await self._video_query(video, start, end)
        return await self._rank("video", self.ranking.by_video, query, limit, filters, offset)

    async def by_clip(
        self,
        part: ClipPart,
        find: Literal["sentences", "clips"],
        limit: int,
        filters: Filters,
        offset: int = 0,
    ) -> list[Ranked]:
        """The sentences that a part of an indexed clip may sign, or the other clips that look like it."""
        with self._taken_in_hand():
            hit = await self.find(part.video_id, tokens=True)
            query = await asyncio.to_thread(part_of_clip, hit, part.start, part.end)
            if find == "sentences":
                return await self._rank("video", self.ranking.by_video, query, limit, filters, offset)
            where = (self.index, self.collection, query.tokens, limit, filters, offset, [part.video_id])
            return await self._rank("video", similar_clips, *where)

    async def align_clip(self, text: str, video_id: str) -> Aligned:
        """A sentence and an indexed clip."""
        with self._taken_in_hand():
            hit = await self.find(video_id, tokens=True)
            query = await self._text_query(text)
            return await self._rank("align", align_clip, hit, query, self.ranking.config)

    async def align_video(self, text: str, video: VideoFile) -> Aligned:
        """A sentence and a video file."""
        query = await self._text_query(text)
        signed = await self._video_query(video)
        return await self._rank("align", align_video, signed, query, self.ranking.config)

    async def inside(self, text: str, video: VideoFile, limit: int) -> Inside:
        """The parts of a long video file in which a sentence may be signed; one such file at a time.

        Raises
        ------
        ProblemError
            503 if too many long videos wait already, or it takes too long.
        """
        query = await self._text_query(text)
        self.metrics.upload_bytes.inc(video.size)
        if self._long_asked > self.settings.inside_queue:
            raise ProblemError(503, "other long videos are waiting to be searched in; try again")
        self._long_asked += 1
        try:
            with self._timed("inside", "encode"):
                asked = self._look_inside(video, query, limit)
                found = await self._within(asked, self.settings.video_seconds, TOO_LONG)
        finally:
            self._long_asked -= 1
        if isinstance(found, str):
            raise InputError(found)
        return found

    async def _look_inside(self, video: VideoFile, query: TextQuery, limit: int) -> Inside | str:
        async with self._long_videos:
            return await self.encoders.look_inside(video, query, limit)

    async def _text_query(self, text: str) -> TextQuery:
        with self._timed("text", "encode"):
            asked = self.encoders.texts([check_text(text)])
            (query,) = await self._within(asked, self.settings.text_seconds)
        if isinstance(query, str):
            raise InputError(query)
        return query

    async def _video_query(
        self, video: VideoFile, start: float | None = None, end: float | None = None
    ) -> VideoQuery:
        self.metrics.upload_bytes.inc(video.size)
        with self._timed("video", "encode"):
            asked = self.encoders.video(video, start, end)
            query = await self._within(asked, self.settings.video_seconds)
        if isinstance(query, str):
            raise InputError(query)
        return query

    async def find(self, video_id: str, tokens: bool = False) -> Hit:
        """An indexed clip.

        Raises
        ------
        ProblemError
            404 if there is none of that id.
        """
        hits = await asyncio.to_thread(
            lambda: list(self.index.fetch(self.collection, [video_id], tokens=tokens))
        )
        if not hits:
            raise ProblemError(404, "no clip of this id is indexed")
        return hits[0]

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """Let a client's search in, unless it has too many already.

        Raises
        ------
        ProblemError
            429 if so.
        """
        if self._clients[client] >= self.settings.searches_per_client:
            raise ProblemError(
                429, f"{self.settings.searches_per_client} searches of yours are being answered"
            )
        self._clients[client] += 1
        self.metrics.in_flight.inc()
        try:
            yield
        finally:
            self.metrics.in_flight.dec()
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    @contextmanager
    def _taken_in_hand(self) -> Iterator[None]:
        """Hold a place: an answer that would come late is refused at once instead.

        Raises
        ------
        ProblemError
            503 if none is free.
        """
        place = self._limit.take(time.monotonic())
        if place is None:
            raise ProblemError(503, "too many searches are being answered; try again")
        answered = False
        try:
            yield
            answered = True
        finally:
            self._limit.give_back(place, time.monotonic(), measured=answered)
            self.metrics.places.set(self._limit.limit)

    def load(self) -> float:
        """Return the share of this service that is in use."""
        return self._limit.load()

    @property
    def places(self) -> int:
        """How many searches by text are taken at the same time now."""
        return self._limit.limit

    async def _rank(self, kind: str, work: Callable[..., Answer], *arguments: object) -> Answer:
        """Work on the index in a thread, no more at a time than `rankings`; one given up still counts."""
        seconds, began = self.settings.rank_seconds, time.monotonic()
        await self._within(self._rankings.acquire(), seconds)
        with self._timed(kind, "rank"):
            left = began + seconds - time.monotonic()
            running = asyncio.get_running_loop().run_in_executor(
                self._threads, limited(left, work), *arguments
            )
            running.add_done_callback(lambda _: self._rankings.release())
            return await self._within(asyncio.shield(running), began + seconds - time.monotonic())

    @contextmanager
    def _timed(self, kind: str, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.metrics.stage_seconds.labels(kind, stage).observe(time.perf_counter() - began)

    @staticmethod
    async def _within(answer: Awaitable[Answer], seconds: float, late: str = TOO_BUSY) -> Answer:
        try:
            return await asyncio.wait_for(answer, max(seconds, 0.001))
        except TimeoutError:
            raise ProblemError(503, late) from None
