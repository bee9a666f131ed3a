"""Records of an index on a Qdrant server: points without vectors, in a collection of their own."""

from collections.abc import Iterator
from typing import Any

from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import json_to_value

from cico_platform.index.clips import point_id
from cico_platform.index.points import VIDEO_ID
from cico_platform.index.server_client import MissingError, ServerClient
from cico_platform.index.server_messages import WHOLE_PAYLOAD, payload_of

SERVING_COLLECTION = "cico-serving"
PAGE = 64


class ServerRecords:
    """JSON objects by name."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client

    def exist(self) -> bool:
        """Whether anything was ever recorded."""
        request = messages.CollectionExistsRequest(collection_name=SERVING_COLLECTION)
        return bool(self._client.connect(self._client.collections.CollectionExists, request).result.exists)

    def read(self) -> dict[str, dict[str, Any]]:
        """All records."""
        found = {}
        try:
            for point in self._points():
                record = payload_of(point)
                found[str(record.pop(VIDEO_ID))] = record
        except MissingError:  # nothing was indexed yet
            return {}
        return found

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Put a record in the place of the one of this name."""
        if not self.exist():
            self._create()
        payload = {**record, VIDEO_ID: name}
        point = messages.PointStruct(
            id=messages.PointId(uuid=point_id(name)),
            vectors=messages.Vectors(vectors=messages.NamedVectors()),
            payload={key: json_to_value(value) for key, value in payload.items()},
        )
        request = messages.UpsertPoints(collection_name=SERVING_COLLECTION, wait=True, points=[point])
        self._client.write(self._client.points.Upsert, request)

    def delete(self, name: str) -> None:
        """Remove a record; one that is not there is no error."""
        ids = messages.PointsIdsList(ids=[messages.PointId(uuid=point_id(name))])
        request = messages.DeletePoints(
            collection_name=SERVING_COLLECTION, wait=True, points=messages.PointsSelector(points=ids)
        )
        try:
            self._client.write(self._client.points.Delete, request)
        except MissingError:
            return

    def _create(self) -> None:
        request = messages.CreateCollection(
            collection_name=SERVING_COLLECTION,
            vectors_config=messages.VectorsConfig(params_map=messages.VectorParamsMap()),
        )
        try:
            self._client.write(self._client.collections.Create, request)
        except MissingError:
            raise
        except Exception:
            if not self.exist():  # else another process was faster
                raise

    def _points(self) -> Iterator[Any]:
        offset = None
        while True:
            request = messages.ScrollPoints(
                collection_name=SERVING_COLLECTION, limit=PAGE, offset=offset, with_payload=WHOLE_PAYLOAD
            )
            answer = self._client.read(self._client.points.Scroll, request)
            yield from answer.result
            if not answer.HasField("next_page_offset"):
                return
            offset = answer.next_page_offset
