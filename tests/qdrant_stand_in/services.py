"""Qdrant's gRPC services on a store: the subset that the project asks for."""

import time
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as messages
from qdrant_client.grpc.collections_service_pb2_grpc import CollectionsServicer
from qdrant_client.grpc.points_service_pb2_grpc import PointsServicer
from qdrant_client.grpc.qdrant_pb2_grpc import QdrantServicer

from qdrant_stand_in.messages import (
    bad_input,
    edge_filter,
    edge_id,
    edge_point,
    edge_query,
    facet_value,
    fill_payload,
    fill_vectors,
    payload_of,
    point_id,
    unsupported,
    wanted_payload,
    wanted_vectors,
)
from qdrant_stand_in.store import Collection, Store

VERSION = "1.20.0-stand-in"
PAGE = 10


class Health(QdrantServicer):
    """Answers that it is there."""

    def HealthCheck(self, request: Any, context: Any) -> Any:
        return messages.HealthCheckReply(title="qdrant - vector search engine", version=VERSION)


class Collections(CollectionsServicer):
    """Collections and aliases."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def Get(self, request: Any, context: Any) -> Any:
        return messages.GetCollectionInfoResponse(
            result=_info(self.store.collection(request.collection_name))
        )

    def List(self, request: Any, context: Any) -> Any:
        found = [messages.CollectionDescription(name=name) for name in sorted(self.store.collections)]
        return messages.ListCollectionsResponse(collections=found)

    def CollectionExists(self, request: Any, context: Any) -> Any:
        known = request.collection_name in self.store.collections
        known = known or request.collection_name in self.store.aliases
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=known))

    def Create(self, request: Any, context: Any) -> Any:
        self.store.create(request)
        return messages.CollectionOperationResponse(result=True)

    def Delete(self, request: Any, context: Any) -> Any:
        return messages.CollectionOperationResponse(result=self.store.delete(request.collection_name))

    def UpdateAliases(self, request: Any, context: Any) -> Any:
        self.store.change_aliases(request.actions)
        return messages.CollectionOperationResponse(result=True)

    def ListAliases(self, request: Any, context: Any) -> Any:
        return _aliases(self.store.aliases)

    def ListCollectionAliases(self, request: Any, context: Any) -> Any:
        name = self.store.collection(request.collection_name).request.collection_name
        return _aliases({a: c for a, c in self.store.aliases.items() if c == name})


class Points(PointsServicer):
    """Points of collections."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _of(self, request: Any) -> Collection:
        return self.store.collection(request.collection_name)

    def Upsert(self, request: Any, context: Any) -> Any:
        found = self._of(request)
        found.strict.timeout(request)
        _upsert(found, request.points)
        return _done()

    def UpdateBatch(self, request: Any, context: Any) -> Any:
        found = self._of(request)
        found.strict.timeout(request)
        for operation in request.operations:
            kind = operation.WhichOneof("operation")
            if kind == "upsert":
                _upsert(found, operation.upsert.points)
            elif kind == "delete_points":
                _delete(found, operation.delete_points.points)
            else:
                raise unsupported(f"batches with '{kind}'")
        return messages.UpdateBatchResponse(result=[_result() for _ in request.operations])

    def Delete(self, request: Any, context: Any) -> Any:
        _delete(self._of(request), request.points)
        return _done()

    def SetPayload(self, request: Any, context: Any) -> Any:
        return self._payload(request, edge.UpdateOperation.set_payload)

    def OverwritePayload(self, request: Any, context: Any) -> Any:
        return self._payload(request, edge.UpdateOperation.overwrite_payload)

    def _payload(self, request: Any, operation: Any) -> Any:
        found = self._of(request)
        found.update(operation(_selected(found, request.points_selector), payload_of(request.payload)))
        return _done()

    def DeletePayload(self, request: Any, context: Any) -> Any:
        found = self._of(request)
        selected = _selected(found, request.points_selector)
        found.update(edge.UpdateOperation.delete_payload(selected, list(request.keys)))
        return _done()

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        self._of(request).create_field_index(request.field_name, request.field_type)
        return _done()

    def Get(self, request: Any, context: Any) -> Any:
        found = self._of(request)
        records = found.shard.retrieve(
            [edge_id(one) for one in request.ids],
            with_payload=wanted_payload(request.with_payload, True),
            with_vector=wanted_vectors(request.with_vectors),
        )
        return messages.GetResponse(result=[_record(one) for one in records])

    def Scroll(self, request: Any, context: Any) -> Any:
        found, limit = self._of(request), request.limit or PAGE
        found.strict.limit(limit, "max_query_limit", "limit")
        found.strict.filter(request.filter)
        records, after = found.shard.scroll(
            edge.ScrollRequest(
                offset=edge_id(request.offset) if request.HasField("offset") else None,
                limit=limit,
                filter=edge_filter(request.filter),
                with_payload=wanted_payload(request.with_payload, True),
                with_vector=wanted_vectors(request.with_vectors),
            )
        )
        answer = messages.ScrollResponse(result=[_record(one) for one in records])
        if after is not None:
            answer.next_page_offset.CopyFrom(point_id(after))
        return answer

    def Count(self, request: Any, context: Any) -> Any:
        found = self._of(request)
        exact = request.exact if request.HasField("exact") else True
        found.strict.exact(exact)
        found.strict.filter(request.filter)
        asked = edge.CountRequest(exact=exact, filter=edge_filter(request.filter))
        return messages.CountResponse(result=messages.CountResult(count=found.shard.count(asked)))

    def Facet(self, request: Any, context: Any) -> Any:
        found, exact = self._of(request), request.exact
        found.strict.exact(exact)
        found.strict.filter(request.filter)
        if request.key not in found.fields:
            raise bad_input(f"No appropriate index for faceting: `{request.key}`")
        asked = edge.FacetRequest(
            request.key, limit=request.limit or PAGE, exact=exact, filter=edge_filter(request.filter)
        )
        counted = found.shard.facet(asked).hits
        hits = [messages.FacetHit(value=facet_value(hit.value), count=hit.count) for hit in counted]
        return messages.FacetResponse(hits=hits)

    def Query(self, request: Any, context: Any) -> Any:
        found = self._of(request)
        _check_query(found, request)
        payload = wanted_payload(request.with_payload, False)
        vectors = wanted_vectors(request.with_vectors)
        began = time.perf_counter()
        try:
            points = found.shard.query(edge_query(request, payload, vectors))
        except ValueError as error:
            raise bad_input(str(error)) from error
        answer = messages.QueryResponse()
        for point in points:
            out = answer.result.add()
            out.id.CopyFrom(point_id(point.id))
            out.score, out.version = point.score, point.version
            fill_payload(out, point.payload)
            fill_vectors(out, point.vector)
        answer.time = time.perf_counter() - began
        return answer


def _check_query(found: Collection, request: Any) -> None:
    found.strict.timeout(request)
    waiting = [request]
    while waiting:
        one = waiting.pop()
        found.strict.limit(one.limit, "max_query_limit", "limit")
        found.strict.filter(one.filter)
        found.strict.params(one.params)
        waiting += one.prefetch


def _upsert(found: Collection, points: Any) -> None:
    found.strict.limit(len(points), "upsert_max_batchsize", "upsert limit")
    if not points:
        raise bad_input("Empty update request")
    found.update(edge.UpdateOperation.upsert_points([edge_point(point) for point in points]))


def _delete(found: Collection, selector: Any) -> None:
    if selector.WhichOneof("points_selector_one_of") == "points":
        found.update(edge.UpdateOperation.delete_points([edge_id(one) for one in selector.points.ids]))
        return
    found.strict.filter(selector.filter, update=True)
    only = edge_filter(selector.filter) or edge.Filter()
    found.update(edge.UpdateOperation.delete_points_by_filter(only))


def _selected(found: Collection, selector: Any) -> list[Any]:
    if selector.WhichOneof("points_selector_one_of") != "points":
        raise unsupported("payloads by filter")
    return [edge_id(one) for one in selector.points.ids]


def _record(record: Any) -> Any:
    out = messages.RetrievedPoint(id=point_id(record.id))
    fill_payload(out, record.payload)
    fill_vectors(out, record.vector)
    return out


def _result() -> Any:
    return messages.UpdateResult(operation_id=0, status=messages.UpdateStatus.Completed)


def _done() -> Any:
    return messages.PointsOperationResponse(result=_result())


def _aliases(known: dict[str, str]) -> Any:
    found = [messages.AliasDescription(alias_name=a, collection_name=c) for a, c in sorted(known.items())]
    return messages.ListAliasesResponse(aliases=found)


def _info(found: Collection) -> Any:
    made, status = found.request, found.status()
    info = messages.CollectionInfo(
        status=status,
        optimizer_status=messages.OptimizerStatus(ok=True),
        points_count=found.shard.count(edge.CountRequest(exact=False)),
        segments_count=1,
    )
    params = info.config.params
    params.shard_number = made.shard_number or 1
    params.on_disk_payload = made.on_disk_payload
    params.replication_factor = made.replication_factor or 1
    params.write_consistency_factor = made.write_consistency_factor or 1
    params.vectors_config.CopyFrom(made.vectors_config)
    # Qdrant's defaults, in full: its own client refuses an answer without them.
    info.config.hnsw_config.CopyFrom(
        messages.HnswConfigDiff(m=16, ef_construct=100, full_scan_threshold=10_000, max_indexing_threads=0)
    )
    info.config.optimizer_config.CopyFrom(
        messages.OptimizersConfigDiff(
            deleted_threshold=0.2,
            vacuum_min_vector_number=1000,
            default_segment_number=0,
            flush_interval_sec=5,
        )
    )
    info.config.wal_config.CopyFrom(messages.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0))
    if made.HasField("strict_mode_config"):
        info.config.strict_mode_config.CopyFrom(made.strict_mode_config)
    for name, value in made.metadata.items():
        info.config.metadata[name].CopyFrom(value)
    for name, kind in found.fields.items():
        schema = {0: 1, 1: 2, 2: 3, 5: 6}[kind]
        info.payload_schema[name].CopyFrom(messages.PayloadSchemaInfo(data_type=schema))
    return info
