"""Points of a collection in the embedded engine."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import qdrant_edge as qdrant

from cico_platform.index.clips import Filters, IndexedClip, Payload, Tokens
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.engine import engine_filter, nearest
from cico_platform.index.points import VIDEO_ID, Fields, Found, Points, Record
from cico_platform.index.set_encoding import point_vectors
from cico_platform.index.token_store.row_numbers import Rows, as_rows

PAGE, ROWS_PAGE = 512, 8192


class Made(NamedTuple):
    """Clips as the engine takes them: vectors and payloads."""

    vectors: list[dict[str, Any]]
    payloads: list[Payload]


class EmbeddedPoints(Points):
    """The points of one collection.

    Parameters
    ----------
    shard
        The engine, which this process owns.
    table
        The clips' tokens.
    """

    def __init__(self, name: str, shard: Any, table: CollectionTokens) -> None:
        self.name, self.shard, self.table = name, shard, table

    def tokens(self) -> CollectionTokens:
        return self.table

    def count(self, filters: Filters | None) -> int:
        return int(self.shard.count(qdrant.CountRequest(exact=True, filter=engine_filter(filters))))

    def facets(self, field: str, limit: int) -> dict[str, int]:
        found = self.shard.facet(qdrant.FacetRequest(field, limit=limit, exact=True))
        return {str(hit.value): int(hit.count) for hit in found.hits}

    def nearest(self, tokens: Tokens, limit: int, filters: Filters | None, names: bool) -> Found:
        payload = [VIDEO_ID] if names else False
        return _found(self.shard.query(nearest(tokens, limit, engine_filter(filters), payload)), names)

    def scroll(self, filters: Filters | None, fields: Fields) -> Iterator[list[Record]]:
        return self._scroll(engine_filter(filters), _selected(fields))

    def rows(self, filters: Filters | None) -> Rows:
        pages = self._pages(engine_filter(filters), False, ROWS_PAGE)
        listed = [as_rows([record.id for record in page]) for page in pages]
        return np.concatenate(listed) if listed else as_rows([])

    def of_clips(self, video_ids: Sequence[str], fields: Fields) -> Iterator[list[Record]]:
        for first in range(0, len(video_ids), PAGE):
            names = qdrant.MatchAny(list(video_ids[first : first + PAGE]))
            only = qdrant.Filter(must=[qdrant.FieldCondition(VIDEO_ID, match=names)])
            yield from self._scroll(only, _selected(fields))

    def payloads(self, rows: Sequence[int]) -> dict[int, Payload]:
        found = self.shard.retrieve(list(rows), with_payload=True, with_vector=False)
        return {record.id: record.payload for record in found}

    def existing(self, rows: Rows) -> int:
        return len(self.shard.retrieve(rows.tolist(), with_payload=False, with_vector=False))

    def make(self, clips: Sequence[IndexedClip]) -> Made:
        vectors = point_vectors([clip.tokens for clip in clips])
        return Made(
            [{"pooled": vector} for vector in vectors],
            [{**clip.payload, VIDEO_ID: clip.video_id} for clip in clips],
        )

    def upsert(self, made: Made, rows: Rows) -> None:
        points = [qdrant.Point(*point) for point in zip(rows.tolist(), *made, strict=True)]
        self.shard.update(qdrant.UpdateOperation.upsert_points(points))

    def delete_rows(self, rows: Rows) -> None:
        if len(rows):
            self.shard.update(qdrant.UpdateOperation.delete_points(rows.tolist()))
            self.shard.flush()

    def _scroll(self, only: Any, payload: Any) -> Iterator[list[Record]]:
        for page in self._pages(only, payload, PAGE):
            yield [Record(record.id, record.payload or {}) for record in page]

    def _pages(self, only: Any, payload: Any, size: int) -> Iterator[Any]:
        offset = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset, limit=size, filter=only, with_payload=payload, with_vector=False
            )
            records, offset = self.shard.scroll(request)
            yield records
            if offset is None:
                return


def _selected(fields: Fields) -> Any:
    return True if fields == "all" else sorted({VIDEO_ID, *fields})


def _found(points: Any, names: bool) -> Found:
    return Found(
        as_rows([point.id for point in points]),
        np.array([point.score for point in points], np.float32),
        [point.payload[VIDEO_ID] for point in points] if names else None,
    )
