"""Encodes texts in the API's own process: asking another process costs more than encoding a sentence."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cico_model.model import RetrievalModel
from cico_platform.encoding.texts import TextQuery, encode_texts

# Texts of several requests that are encoded together.
MAX_BATCH = 32

Encoded = TextQuery | str


class _Waiting(NamedTuple):
    texts: Sequence[str]
    answer: "asyncio.Future[list[Encoded]]"


class TextEncoder:
    """Encodes texts in one thread.

    Texts that come while others are being encoded are encoded together afterwards, so that nobody waits for
    a batch to fill up.
    """

    def __init__(self, model: RetrievalModel) -> None:
        self.model = model
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._worker = ThreadPoolExecutor(1, "texts")

    async def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return a query for each text, or the reason why it has none."""
        mine = _Waiting(texts, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if self._task is None:
            self._task = asyncio.create_task(self._encode_all())
        return await mine.answer

    def close(self) -> None:
        """End the thread, once it is done with what it works on."""
        self._worker.shutdown(wait=False)

    async def _encode_all(self) -> None:
        try:
            while batch := self._next_batch():
                texts = [text for one in batch for text in one.texts]
                running = asyncio.get_running_loop().run_in_executor(self._worker, self._encode, texts)
                try:
                    encoded = await running
                except Exception as error:
                    for one in batch:
                        if not one.answer.done():
                            one.answer.set_exception(error)
                    continue
                for one in batch:
                    mine, encoded = encoded[: len(one.texts)], encoded[len(one.texts) :]
                    if not one.answer.done():
                        one.answer.set_result(mine)
        finally:
            self._task = None

    def _next_batch(self) -> list[_Waiting]:
        """Take requests of up to `MAX_BATCH` texts, at least one request; those given up are left out."""
        waiting = [one for one in self._waiting if not one.answer.done()]
        taken, size = 0, 0
        while taken < len(waiting) and (not taken or size + len(waiting[taken].texts) <= MAX_BATCH):
            size += len(waiting[taken].texts)
            taken += 1
        self._waiting = waiting[taken:]
        return waiting[:taken]

    def _encode(self, texts: Sequence[str]) -> list[Encoded]:
        try:
            return list(encode_texts(self.model, texts))
        except ValueError as error:
            if len(texts) == 1:
                return [f"the text can't be searched for: {error}"]
            return [answer for text in texts for answer in self._encode([text])]
