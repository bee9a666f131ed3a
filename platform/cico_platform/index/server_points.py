"""Points of a collection on a Qdrant server, over gRPC."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from qdrant_client import grpc as messages

from cico_platform.index.clips import Filters, IndexedClip, Payload, Tokens
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.deadlines import remaining
from cico_platform.index.points import VIDEO_ID, Fields, Found, Points, Record
from cico_platform.index.server_client import MissingError, ServerClient
from cico_platform.index.server_collections import ServerCollection
from cico_platform.index.server_messages import (
    NAMES_ONLY,
    NO_PAYLOAD,
    WHOLE_PAYLOAD,
    batches,
    clip_point,
    filter_of,
    named,
    nearest,
    payload_of,
    payload_with,
)
from cico_platform.index.server_settings import ServerSettings
from cico_platform.index.set_encoding import point_vectors
from cico_platform.index.token_store.row_numbers import Rows, as_rows

PAGE = 256
# For the names of clips that are written together.
LOOKUP = 64
# Ids of a request that deletes them.
IDS = 4096
T = TypeVar("T")


class ServerPoints(Points):
    """The points of one collection, as it is known to be now."""

    def __init__(self, client: ServerClient, collection: ServerCollection) -> None:
        self.client, self.collection, self.name = client, collection, collection.name

    def tokens(self) -> CollectionTokens:
        return self.collection.tokens()

    def count(self, filters: Filters | None) -> int:
        """Number of points that pass the filters; they are listed where strict mode counts none exactly."""
        if not self.collection.limits.exact:
            return len(self.rows(filters))
        request = messages.CountPoints(collection_name=self.name, filter=filter_of(filters), exact=True)
        return int(self._read(self.client.points.Count, request).result.count)

    def facets(self, field: str, limit: int) -> dict[str, int]:
        request = messages.FacetCounts(
            collection_name=self.name, key=field, limit=limit, exact=self.collection.limits.exact
        )
        hits = self._read(self.client.points.Facet, request).hits
        return {hit.value.string_value: int(hit.count) for hit in hits}

    def nearest(self, tokens: Tokens, limit: int, filters: Filters | None, names: bool) -> Found:
        wanted = self.collection.bounded(limit)
        request = nearest(self.name, tokens, wanted, filter_of(filters), self._search_params())
        if names:
            request.with_payload.CopyFrom(NAMES_ONLY)
        return self._found(request)

    def scroll(self, filters: Filters | None, fields: Fields) -> Iterator[list[Record]]:
        selected = WHOLE_PAYLOAD if fields == "all" else payload_with(fields)
        for page in self._scroll(filter_of(filters), selected):
            yield [Record(point.id.num, payload_of(point)) for point in page]

    def rows(self, filters: Filters | None) -> Rows:
        pages = [as_rows([p.id.num for p in page]) for page in self._scroll(filter_of(filters), NO_PAYLOAD)]
        return np.concatenate(pages) if pages else as_rows([])

    def of_clips(self, video_ids: Sequence[str], fields: Fields) -> Iterator[list[Record]]:
        step = min(LOOKUP, self.collection.limits.values)
        selected = WHOLE_PAYLOAD if fields == "all" else payload_with(fields)
        for first in range(0, len(video_ids), step):
            for page in self._scroll(named(video_ids[first : first + step]), selected):
                yield [Record(point.id.num, payload_of(point)) for point in page]

    def payloads(self, rows: Sequence[int]) -> dict[int, Payload]:
        if not rows:
            return {}
        request = messages.GetPoints(
            collection_name=self.name,
            ids=[messages.PointId(num=row) for row in rows],
            with_payload=WHOLE_PAYLOAD,
        )
        points = self._read(self.client.points.Get, request).result
        return {point.id.num: payload_of(point) for point in points}

    def existing(self, rows: Rows) -> int:
        found = 0
        for first in range(0, len(rows), PAGE):
            ids = [messages.PointId(num=row) for row in rows[first : first + PAGE].tolist()]
            request = messages.GetPoints(collection_name=self.name, ids=ids, with_payload=NO_PAYLOAD)
            found += len(self._read(self.client.points.Get, request).result)
        return found

    def make(self, clips: Sequence[IndexedClip]) -> list[list[messages.PointStruct]]:
        """The clips as points, in batches that may be sent at once."""
        vectors = point_vectors([clip.tokens for clip in clips])
        made = (clip_point(0, clip, vector) for clip, vector in zip(clips, vectors, strict=True))
        return list(batches(made, self._settings.batch_bytes, self.collection.limits.upserts))

    def upsert(self, made: list[list[messages.PointStruct]], rows: Rows) -> None:
        numbers = iter(rows.tolist())
        for batch in made:
            for point in batch:
                point.id.num = next(numbers)
            request = messages.UpsertPoints(collection_name=self.name, wait=True, points=batch)
            self.client.write(self.client.points.Upsert, request)

    def delete_rows(self, rows: Rows) -> None:
        for first in range(0, len(rows), IDS):
            ids = [messages.PointId(num=row) for row in rows[first : first + IDS].tolist()]
            selected = messages.PointsSelector(points=messages.PointsIdsList(ids=ids))
            request = messages.DeletePoints(collection_name=self.name, wait=True, points=selected)
            self.client.write(self.client.points.Delete, request)

    @property
    def _settings(self) -> ServerSettings:
        return self.client.settings

    def _scroll(
        self, only: messages.Filter | None, payload: messages.WithPayloadSelector
    ) -> Iterator[Sequence[Any]]:
        offset = None
        while True:
            request = messages.ScrollPoints(
                collection_name=self.name,
                filter=only,
                limit=min(PAGE, self.collection.limits.points),
                offset=offset,
                with_payload=payload,
            )
            answer = self._read(self.client.points.Scroll, request)
            yield answer.result
            if not answer.HasField("next_page_offset"):
                return
            offset = answer.next_page_offset

    def _search_params(self) -> messages.SearchParams:
        quantization, rescore = self._settings.vector_quantization, self._settings.rescore
        if quantization == "none":
            return messages.SearchParams()
        how = messages.QuantizationSearchParams(
            rescore=quantization == "binary" if rescore is None else rescore
        )
        if how.rescore:
            how.oversampling = min(self._settings.oversampling, self.collection.limits.oversampling)
        return messages.SearchParams(quantization=how)

    def _found(self, request: messages.QueryPoints) -> Found:
        """The points of a query; the server gives it up when the caller does."""
        left = remaining()
        seconds = self._settings.timeout_s if left is None else min(left, self._settings.timeout_s)
        request.timeout = max(1, min(math.ceil(seconds), self.collection.limits.seconds))
        points = self._read(self.client.points.Query, request).result
        named = [point.payload[VIDEO_ID].string_value for point in points if VIDEO_ID in point.payload]
        return Found(
            as_rows([point.id.num for point in points]),
            np.array([point.score for point in points], np.float32),
            named if len(named) == len(points) else None,
        )

    def _read(self, method: Callable[..., T], request: Any) -> T:
        """`ServerClient.read`; where the collection was removed the error names it and the index."""
        try:
            return self.client.read(method, request)
        except MissingError:
            raise no_collection(self.client.url, self.name) from None


def no_collection(url: str, name: str) -> MissingError:
    """The error where there is no such collection."""
    return MissingError(f"the index '{url}' has no collection '{name}'")
