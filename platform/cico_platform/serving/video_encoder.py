"""The deployment that reads videos: a short one becomes a query, a long one is looked into."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.encoding.clip_encoder import ClipEncoder
from cico_platform.encoding.long_videos import LongVideo, LongVideoSettings, join_chunks, read_chunks
from cico_platform.encoding.texts import TextQuery
from cico_platform.encoding.video_queries import VideoQuery, encode_video
from cico_platform.errors import InputError
from cico_platform.index.inside import Inside, find_inside
from cico_platform.index.serving_info import ServingInfo, clip_encoder_of
from cico_platform.serving.models import Models
from cico_platform.serving.video_file import VideoFile, opened_here
from cico_platform.storage import on_this_machine

# Seconds of a long video that are read before others get their turn.
CHUNK = 10.0
Answer = TypeVar("Answer")


class VideoEncoder:
    """Reads video files within the limits of decoding, one piece of work at a time, first come first served.

    A short video is one piece of work, a long one as many as it has chunks: short ones that come meanwhile
    wait for a chunk, not for all of it.
    """

    def __init__(self, info: ServingInfo) -> None:
        threads = os.cpu_count() or 1
        torch.set_num_threads(threads)

        def load(info: ServingInfo) -> ClipEncoder:
            return clip_encoder_of(info, load_retrieval_model(on_this_machine(info.model)), threads)

        self.models = Models(load)
        self.models.of(info)
        self._worker = ThreadPoolExecutor(1, "videos")

    async def ready(self, info: ServingInfo) -> bool:
        """True, once the models of a collection are loaded."""
        await asyncio.to_thread(self.models.of, info)
        return True

    async def encode(
        self,
        video: VideoFile | bytes,
        info: ServingInfo,
        start: float | None = None,
        end: float | None = None,
    ) -> VideoQuery | str:
        """A query of the part from `start` to `end` (seconds), or the reason why there is none.

        Raises
        ------
        NotHereError
            If the file lies on another node.
        """
        return await self._in_turn(self._encode, video, info, start, end)

    async def look_inside(
        self, video: VideoFile | bytes, query: TextQuery, limit: int, longest: float, info: ServingInfo
    ) -> Inside | str:
        """Where in a file of at most `longest` seconds a sentence may be signed, or why it can't be read."""
        encoder = await asyncio.to_thread(self.models.of, info)
        read: list[LongVideo] = []
        with opened_here(video) as path:
            chunks = read_chunks(path, encoder, LongVideoSettings(chunk=CHUNK, longest=longest))
            try:
                while (chunk := await self._in_turn(next, chunks, None)) is not None:
                    read.append(chunk)
            except InputError as error:
                return str(error)
        return await asyncio.to_thread(find_inside, join_chunks(read), query, encoder.model, limit)

    async def _in_turn(self, work: Callable[..., Answer], *arguments: object) -> Answer:
        """Wait for the worker; what is given up before its turn is never begun."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)

    def _encode(
        self, video: VideoFile | bytes, info: ServingInfo, start: float | None, end: float | None
    ) -> VideoQuery | str:
        encoder = self.models.of(info)
        with opened_here(video) as path:
            try:
                return encode_video(path, encoder, start=start, end=end)
            except InputError as error:
                return str(error)
