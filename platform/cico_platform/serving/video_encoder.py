"""The deployment that reads videos: a short one becomes a query, a long one is looked into."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from cico_model.inference import InferenceEncoder
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import InputError
from cico_platform.index.inside import Inside, InsideSettings, LongVideo, find_inside, join, read_stretches
from cico_platform.index.queries import TextQuery, VideoQuery, encode_video, load_encoders
from cico_platform.index.serving_info import ServingInfo
from cico_platform.serving.models import Models
from cico_platform.storage import on_this_machine

# Seconds of a long video that are read before others get their turn.
STRETCH = 10.0
Answer = TypeVar("Answer")


class VideoEncoder:
    """Reads video files within the limits of decoding, one piece of work at a time, first come first served.

    A short video is one piece of work, a long one as many as it has stretches: short ones that come meanwhile
    wait for a stretch, not for all of it.
    """

    def __init__(self, info: ServingInfo) -> None:
        threads = os.cpu_count() or 1
        torch.set_num_threads(threads)

        def load(info: ServingInfo) -> tuple[RetrievalModel, list[InferenceEncoder]]:
            return load_retrieval_model(on_this_machine(info.model)), load_encoders(info, threads=threads)

        self.models = Models(load)
        self.models.of(info)
        self._worker = ThreadPoolExecutor(1, "videos")

    async def ready(self, info: ServingInfo) -> bool:
        """True, once the models of a collection are loaded."""
        await asyncio.to_thread(self.models.of, info)
        return True

    async def encode(self, data: bytes, info: ServingInfo) -> VideoQuery | str:
        """A query, or the reason why the file has none."""
        return await self._in_turn(self._encode, data, info)

    async def look_inside(
        self, data: bytes, query: TextQuery, limit: int, longest: float, info: ServingInfo
    ) -> Inside | str:
        """Where in a file of at most `longest` seconds a sentence may be signed, or why it can't be read."""
        model, encoders = await asyncio.to_thread(self.models.of, info)
        settings = InsideSettings(stretch=STRETCH, most=longest)
        read: list[LongVideo] = []
        with _video_file(data) as path:
            stretches = read_stretches(path, encoders, info.alpha, model, settings)
            try:
                while (stretch := await self._in_turn(next, stretches, None)) is not None:
                    read.append(stretch)
            except InputError as error:
                return str(error)
        return await asyncio.to_thread(find_inside, join(read), query, model, limit, settings)

    async def _in_turn(self, work: Callable[..., Answer], *arguments: object) -> Answer:
        """Wait for the worker; what is given up before its turn is never begun."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)

    def _encode(self, data: bytes, info: ServingInfo) -> VideoQuery | str:
        model, encoders = self.models.of(info)
        with _video_file(data) as path:
            try:
                return encode_video(path, encoders, info.alpha, model)
            except InputError as error:
                return str(error)


@contextmanager
def _video_file(data: bytes) -> Iterator[str]:
    """A file that decoders can open; gone afterwards."""
    with tempfile.NamedTemporaryFile(prefix="cico-query-", suffix=".video") as file:
        file.write(data)
        file.flush()
        yield file.name
