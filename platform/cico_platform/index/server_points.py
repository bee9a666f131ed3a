"""Reading and writing the points of a collection on a Qdrant server."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as messages

from cico_platform.errors import CicoError
from cico_platform.index.clips import Payload
from cico_platform.index.server_client import MissingError, ServerClient
from cico_platform.index.server_collections import ServerCollection
from cico_platform.index.server_messages import (
    NAMES_ONLY,
    NO_PAYLOAD,
    VIDEO_ID,
    WHOLE_PAYLOAD,
    named,
    payload_of,
)
from cico_platform.index.token_store.row_numbers import Rows, as_rows

PAGE = 256
# For the names of clips that are written together.
LOOKUP = 64
# Ids of a request that deletes them.
IDS = 4096
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

    def count(self, only: messages.Filter | None) -> int:
        """Number of points that pass a filter; they are listed where strict mode counts none exactly."""
        if not self.collection.limits.exact:
            return sum(1 for _ in self.scroll(only, NO_PAYLOAD))
        request = messages.CountPoints(collection_name=self.collection.name, filter=only, exact=True)
        return int(self.read(self.client.points.Count, request).result.count)

    def scroll(
        self, only: messages.Filter | None, payload: messages.WithPayloadSelector, living: bool = False
    ) -> Iterator[Any]:
        """All points that pass a filter, page by page; of `living` clips alone, if that is asked."""
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
            yield from self.only_living(answer.result) if living else answer.result
            if not answer.HasField("next_page_offset"):
                return
            offset = answer.next_page_offset

    def living(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each point's row holds a living clip, bool [n].

        Raises
        ------
        CicoError
            If the tokens of a point that the server has are not in the folder.
        """
        living = self.collection.tokens().lives(rows)
        self.expect_dead(rows[~living])
        return living

    def only_living(self, points: Sequence[Any]) -> list[Any]:
        """Those of the points whose rows hold living clips; errors as of `living`."""
        rows = as_rows([point.id.num for point in points])
        return [point for point, lives in zip(points, self.living(rows).tolist(), strict=True) if lives]

    def expect_dead(self, rows: Rows) -> None:
        """Check that rows which do not live are dead, or wait for their commit.

        Raises
        ------
        CicoError
            If one is not in the folder, and the server still has its point.
        """
        if not len(rows):
            return
        table = self.collection.tokens()
        held = self._existing(rows[table.lost(rows)])
        if held:
            raise CicoError(
                f"the tokens of {held} points of collection '{self.collection.name}' are not in "
                f"'{table.folder}': it is an older copy; index again, or copy it anew"
            )

    def of_clips(
        self, video_ids: Sequence[str], payload: messages.WithPayloadSelector, living: bool = False
    ) -> Iterator[Any]:
        """The points of these clips, in any order; `living` as of `scroll`."""
        step = min(LOOKUP, self.collection.limits.values)
        for first in range(0, len(video_ids), step):
            yield from self.scroll(named(video_ids[first : first + step]), payload, living)

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

    def upsert(self, points: Sequence[messages.PointStruct]) -> None:
        """Add points, or write them again."""
        request = messages.UpsertPoints(collection_name=self.collection.name, wait=True, points=points)
        self.client.write(self.client.points.Upsert, request)

    def delete_rows(self, rows: Rows) -> None:
        """Delete the points of these rows; those that are gone are no error."""
        for first in range(0, len(rows), IDS):
            ids = [messages.PointId(num=row) for row in rows[first : first + IDS].tolist()]
            self._delete(messages.PointsSelector(points=messages.PointsIdsList(ids=ids)))

    def delete_clips(self, video_ids: Sequence[str]) -> None:
        """Delete the points of these clips."""
        step = min(LOOKUP, self.collection.limits.values)
        for first in range(0, len(video_ids), step):
            self._delete(messages.PointsSelector(filter=named(video_ids[first : first + step])))

    def _delete(self, selected: messages.PointsSelector) -> None:
        request = messages.DeletePoints(collection_name=self.collection.name, wait=True, points=selected)
        self.client.write(self.client.points.Delete, request)

    def _existing(self, rows: Rows) -> int:
        """How many of these points the server has."""
        found = 0
        for first in range(0, len(rows), PAGE):
            ids = [messages.PointId(num=row) for row in rows[first : first + PAGE].tolist()]
            request = messages.GetPoints(
                collection_name=self.collection.name, ids=ids, with_payload=NO_PAYLOAD
            )
            found += len(self.read(self.client.points.Get, request).result)
        return found


def no_collection(url: str, name: str) -> MissingError:
    """The error where there is no such collection."""
    return MissingError(f"the index '{url}' has no collection '{name}'")
