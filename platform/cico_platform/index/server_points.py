"""Reading and writing the points of a collection on a Qdrant server."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from qdrant_client import grpc as messages

from cico_platform.index.clips import Payload
from cico_platform.index.server_client import MissingError, ServerClient
from cico_platform.index.server_collections import ServerCollection
from cico_platform.index.server_messages import NAMES_ONLY, VIDEO_ID, WHOLE_PAYLOAD, named, payload_of

PAGE = 256
# For the names of clips that are written together.
LOOKUP = 64
T = TypeVar("T")


class ServerPoints:
    """The points of one collection, as it is known to be now."""

    def __init__(self, client: ServerClient, collection: ServerCollection) -> None:
        self.client, self.collection = client, collection

    def read(self, method: Callable[..., T], request: Any) -> T:
        """`ServerClient.read`.

        Raises
        ------
        MissingError
            If the collection was removed: the error names it and the index.
        """
        try:
            return self.client.read(method, request)
        except MissingError:
            raise no_collection(self.client.url, self.collection.name) from None

    def scroll(self, only: messages.Filter | None, payload: messages.WithPayloadSelector) -> Iterator[Any]:
        """All points that pass a filter, page by page."""
        offset = None
        while True:
            request = messages.ScrollPoints(
                collection_name=self.collection.name,
                filter=only,
                limit=min(PAGE, self.collection.limits.points),
                offset=offset,
                with_payload=payload,
            )
            answer = self.read(self.client.points.Scroll, request)
            yield from answer.result
            if not answer.HasField("next_page_offset"):
                return
            offset = answer.next_page_offset

    def of_clips(self, video_ids: Sequence[str], payload: messages.WithPayloadSelector) -> Iterator[Any]:
        """The points of these clips, in any order."""
        step = min(LOOKUP, self.collection.limits.values)
        for first in range(0, len(video_ids), step):
            yield from self.scroll(named(video_ids[first : first + step]), payload)

    def rows_of(self, video_ids: Sequence[str]) -> dict[str, list[int]]:
        """The points that these clips have already."""
        found: dict[str, list[int]] = {}
        for point in self.of_clips(video_ids, NAMES_ONLY):
            found.setdefault(point.payload[VIDEO_ID].string_value, []).append(point.id.num)
        return found

    def payloads(self, rows: Sequence[int]) -> dict[int, Payload]:
        """What these points hold beside vectors; those that are gone are left out."""
        if not rows:
            return {}
        request = messages.GetPoints(
            collection_name=self.collection.name,
            ids=[messages.PointId(num=row) for row in rows],
            with_payload=WHOLE_PAYLOAD,
        )
        points = self.read(self.client.points.Get, request).result
        return {point.id.num: payload_of(point) for point in points}

    def replace(self, old: Sequence[int], points: Sequence[messages.PointStruct]) -> None:
        """Delete points and add others, in this order and in one request, so that it may be sent twice."""
        operation = messages.PointsUpdateOperation
        operations = [operation(upsert=operation.PointStructList(points=points))]
        if old:
            ids = messages.PointsIdsList(ids=[messages.PointId(num=row) for row in old])
            drop = operation.DeletePoints(points=messages.PointsSelector(points=ids))
            operations.insert(0, operation(delete_points=drop))
        name = self.collection.name
        request = messages.UpdateBatchPoints(collection_name=name, wait=True, operations=operations)
        self.client.write(self.client.points.UpdateBatch, request)

    def delete(self, only: messages.Filter) -> None:
        """Delete the points that pass a filter."""
        selected = messages.PointsSelector(filter=only)
        request = messages.DeletePoints(collection_name=self.collection.name, wait=True, points=selected)
        self.client.write(self.client.points.Delete, request)

    def delete_clips(self, video_ids: Sequence[str]) -> None:
        """Delete the points of these clips."""
        step = min(LOOKUP, self.collection.limits.values)
        for first in range(0, len(video_ids), step):
            self.delete(named(video_ids[first : first + step]))


def no_collection(url: str, name: str) -> MissingError:
    """The error where there is no such collection."""
    return MissingError(f"the index '{url}' has no collection '{name}'")
