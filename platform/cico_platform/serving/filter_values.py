"""The values that people can filter by, with how many clips have each; counted once a minute at most."""

import asyncio
import time
from collections.abc import Callable

from cico_platform.index.base import VectorIndex
from cico_platform.serving.schemas import FieldValues, FiltersResponse, ValueCount

OFFERED = ("corpus", "signer", "language", "sign_language", "licence", "split")
# Of fields with more values the commonest are listed.
LISTED = 100
KEPT_SECONDS = 60.0


class FilterValues:
    """Counts the values of a collection's fields, and keeps what it counted for a minute."""

    def __init__(
        self, index: VectorIndex, collection: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.index, self.collection, self.clock = index, collection, clock
        self._lock = asyncio.Lock()
        self._known: FiltersResponse | None = None
        self._counted = 0.0

    async def read(self) -> FiltersResponse:
        """The fields with their commonest values; one process counts at a time."""
        async with self._lock:
            if self._known is None or self.clock() - self._counted >= KEPT_SECONDS:
                self._known = await asyncio.to_thread(self._count)
                self._counted = self.clock()
            return self._known

    def _count(self) -> FiltersResponse:
        fields = {}
        for field in OFFERED:
            counts = self.index.facets(self.collection, field, LISTED + 1)
            listed = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:LISTED]
            values = [ValueCount(value=value, clips=clips) for value, clips in listed]
            fields[field] = FieldValues(values=values, more=len(counts) > LISTED)
        return FiltersResponse(clips=self.index.count(self.collection), fields=fields)
