"""Collections, points, filters and queries as messages of Qdrant's gRPC interface."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import grpc_to_payload, json_to_value

from cico_platform.errors import CicoError
from cico_platform.index.clips import FILTER_FIELDS, Filters, IndexedClip, Payload, Tokens
from cico_platform.index.points import VIDEO_ID
from cico_platform.index.server_settings import PREFIX, ServerSettings
from cico_platform.index.set_encoding import query_vector, set_encoder

POOLED = "pooled"
# Every field that is filtered by, for a server in strict mode filters by no other.
INDEXED = {
    **dict.fromkeys((*FILTER_FIELDS, "text_id", VIDEO_ID), messages.FieldType.FieldTypeKeyword),
    "duration": messages.FieldType.FieldTypeFloat,
}
NO_PAYLOAD = messages.WithPayloadSelector(enable=False)
WHOLE_PAYLOAD = messages.WithPayloadSelector(enable=True)
NAMES_ONLY = messages.WithPayloadSelector(include=messages.PayloadIncludeSelector(fields=[VIDEO_ID]))


def new_collection(
    name: str, dim: int, settings: ServerSettings, about: Mapping[str, Any]
) -> messages.CreateCollection:
    """A collection for encodings of sets of tokens of width `dim`, under HNSW."""
    vectors = messages.VectorParamsMap(map={POOLED: _pooled(dim, settings)})
    return messages.CreateCollection(
        collection_name=name,
        vectors_config=messages.VectorsConfig(params_map=vectors),
        on_disk_payload=settings.on_disk_payload,
        shard_number=settings.shard_number,
        replication_factor=settings.replication_factor,
        write_consistency_factor=settings.write_consistency_factor,
        metadata={key: json_to_value(value) for key, value in about.items()},
    )


def _pooled(dim: int, settings: ServerSettings) -> messages.VectorParams:
    quantized = settings.vector_quantization != "none"
    return messages.VectorParams(
        size=set_encoder(dim).size,
        distance=messages.Distance.Cosine,
        datatype=messages.Datatype.Float16,
        on_disk=quantized,
        hnsw_config=messages.HnswConfigDiff(m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct),
        quantization_config=_quantization(settings.vector_quantization) if quantized else None,
    )


def _quantization(name: str) -> messages.QuantizationConfig:
    if name == "scalar":
        kind = messages.QuantizationType.Int8
        return messages.QuantizationConfig(scalar=messages.ScalarQuantization(type=kind, always_ram=True))
    return messages.QuantizationConfig(binary=messages.BinaryQuantization(always_ram=True))


def clip_point(row: int, clip: IndexedClip, pooled: NDArray[np.float32]) -> messages.PointStruct:
    """A clip as the point of this id; `pooled` is its encoding."""
    vectors = {POOLED: messages.Vector(dense=_dense_vector(pooled))}
    payload = {**clip.payload, VIDEO_ID: clip.video_id}
    return messages.PointStruct(
        id=messages.PointId(num=row),
        vectors=messages.Vectors(vectors=messages.NamedVectors(vectors=vectors)),
        payload={name: json_to_value(value) for name, value in payload.items()},
    )


def batches(
    points: Iterable[messages.PointStruct], most_bytes: int, most_points: int
) -> Iterator[list[messages.PointStruct]]:
    """Points in batches, none of more bytes or points than it may have.

    Raises
    ------
    CicoError
        If one point alone has more bytes.
    """
    batch: list[messages.PointStruct] = []
    size = 0
    for point in points:
        own = point.ByteSize() + 8
        if own > most_bytes:
            name = payload_of(point)[VIDEO_ID]
            raise CicoError(
                f"clip '{name}' has {own:,} bytes as a point, and a request may have {most_bytes:,} "
                f"({PREFIX}BATCH_BYTES): shorten what its payload holds, or raise the limit"
            )
        if batch and (size + own > most_bytes or len(batch) == most_points):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += own
    if batch:
        yield batch


def nearest(
    collection: str, tokens: Tokens, limit: int, only: messages.Filter | None, params: messages.SearchParams
) -> messages.QueryPoints:
    """The points whose encoding is nearest to the tokens' [Q, D]: their ids and scores."""
    return messages.QueryPoints(
        collection_name=collection,
        query=messages.Query(nearest=messages.VectorInput(dense=_dense_vector(query_vector(tokens)))),
        using=POOLED,
        limit=limit,
        filter=only,
        params=params,
        with_payload=NO_PAYLOAD,
    )


def filter_of(filters: Filters | None) -> messages.Filter | None:
    """What filters are to the server; None where they let every clip through."""
    if filters is None or filters.is_empty():
        return None
    must = [match_any(name, values) for name, values in filters.values().items()]
    if filters.min_duration is not None or filters.max_duration is not None:
        lasting = messages.Range(gte=filters.min_duration, lte=filters.max_duration)
        must.append(messages.Condition(field=messages.FieldCondition(key="duration", range=lasting)))
    return messages.Filter(must=must)


def match_any(name: str, values: Sequence[str]) -> messages.Condition:
    """That a field has one of these values."""
    match = messages.Match(keywords=messages.RepeatedStrings(strings=values))
    return messages.Condition(field=messages.FieldCondition(key=name, match=match))


def named(video_ids: Sequence[str]) -> messages.Filter:
    """The points of these clips."""
    return messages.Filter(must=[match_any(VIDEO_ID, video_ids)])


def payload_with(fields: Sequence[str] | None) -> messages.WithPayloadSelector:
    """The request for these fields of payloads and the name of the clip; for all fields without any."""
    if fields is None:
        return WHOLE_PAYLOAD
    included = messages.PayloadIncludeSelector(fields=sorted({VIDEO_ID, *fields}))
    return messages.WithPayloadSelector(include=included)


def payload_of(point: Any) -> Payload:
    """What a point holds beside vectors."""
    return dict(grpc_to_payload(point.payload))


def _dense_vector(vector: NDArray[np.float32]) -> messages.DenseVector:
    return messages.DenseVector(data=vector.tolist())
