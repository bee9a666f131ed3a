"""Messages of Qdrant's gRPC interface to the engine's objects, and back."""

from typing import Any

import grpc
import qdrant_edge as edge
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import json_to_value, value_to_json

from qdrant_stand_in.failures import RefusedError

# Of a collection without vectors: the engine wants one.
UNUSED = "_"
DISTANCES = {1: edge.Distance.Cosine, 2: edge.Distance.Euclid, 3: edge.Distance.Dot}
DATATYPES = {
    1: edge.VectorStorageDatatype.Float32,
    2: edge.VectorStorageDatatype.Uint8,
    3: edge.VectorStorageDatatype.Float16,
}
SCHEMAS = {
    0: edge.PayloadSchemaType.Keyword,
    1: edge.PayloadSchemaType.Integer,
    2: edge.PayloadSchemaType.Float,
    5: edge.PayloadSchemaType.Bool,
}


def unsupported(what: str) -> RefusedError:
    """The error of a request that needs more than the subset."""
    return RefusedError(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in does not know {what}")


def bad_input(what: str) -> RefusedError:
    """The error of a request that Qdrant would refuse, too."""
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: {what}")


def facet_value(value: Any) -> messages.FacetValue:
    """A value of the payload that was counted."""
    if isinstance(value, bool):
        return messages.FacetValue(bool_value=value)
    if isinstance(value, int):
        return messages.FacetValue(integer_value=value)
    return messages.FacetValue(string_value=value)


def edge_config(request: messages.CreateCollection) -> Any:
    """The engine's settings of a collection."""
    config = request.vectors_config
    given = dict(config.params_map.map) if config.HasField("params_map") else {}
    if config.HasField("params"):
        given[""] = config.params
    vectors = {name: _vector_params(params) for name, params in given.items()}
    return edge.EdgeConfig(vectors=vectors or {UNUSED: edge.EdgeVectorParams(1, edge.Distance.Dot)})


def _vector_params(params: messages.VectorParams) -> Any:
    multi = None
    if params.HasField("multivector_config"):
        multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    hnsw = None
    if params.HasField("hnsw_config"):
        diff = params.hnsw_config
        hnsw = edge.HnswIndexConfig(
            diff.m if diff.HasField("m") else 16,
            max(4, diff.ef_construct) if diff.HasField("ef_construct") else 100,
            diff.full_scan_threshold if diff.HasField("full_scan_threshold") else 10_000,
        )
    return edge.EdgeVectorParams(
        params.size,
        DISTANCES[params.distance],
        multivector_config=multi,
        datatype=DATATYPES.get(params.datatype, edge.VectorStorageDatatype.Float32),
        quantization_config=_quantization(params.quantization_config)
        if params.HasField("quantization_config")
        else None,
        hnsw_config=hnsw,
        memory=edge.Memory.Cold if params.on_disk else None,
    )


def _quantization(config: messages.QuantizationConfig) -> Any:
    kind = config.WhichOneof("quantization")
    if kind == "scalar":
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8)
    if kind == "product":
        return edge.ProductQuantizationConfig(edge.CompressionRatio.X16)
    if kind == "binary":
        return edge.BinaryQuantizationConfig()
    raise unsupported(f"quantisation '{kind}'")


def edge_id(point: messages.PointId) -> int | str:
    """A point's id: a number, or a UUID as text."""
    return point.num if point.WhichOneof("point_id_options") == "num" else point.uuid


def point_id(known: Any) -> messages.PointId:
    """A point's id as a message."""
    return messages.PointId(num=known) if isinstance(known, int) else messages.PointId(uuid=str(known))


def payload_of(values: Any) -> dict[str, Any]:
    """A payload's JSON."""
    return {name: value_to_json(value) for name, value in values.items()}


def edge_point(point: messages.PointStruct) -> Any:
    """A point as the engine takes it."""
    kind = point.vectors.WhichOneof("vectors_options")
    named = dict(point.vectors.vectors.vectors) if kind == "vectors" else {}
    if kind == "vector":
        named[""] = point.vectors.vector
    vectors = {name: _vector(vector) for name, vector in named.items()}
    return edge.Point(edge_id(point.id), vectors, payload_of(point.payload))


def _vector(vector: Any) -> list[Any]:
    kind = vector.WhichOneof("vector")
    if kind == "dense":
        return list(vector.dense.data)
    if kind == "multi_dense":
        return [list(one.data) for one in vector.multi_dense.vectors]
    if kind is None and vector.data and not vector.HasField("indices"):
        count = vector.vectors_count if vector.HasField("vectors_count") else 0
        width = len(vector.data) // count if count else 0
        flat = list(vector.data)
        return [flat[i : i + width] for i in range(0, len(flat), width)] if count else flat
    raise unsupported(f"vectors of kind '{kind}'")


def edge_filter(given: messages.Filter) -> Any:
    """A filter as the engine takes it; None where it lets all points through."""
    groups = {
        name: [_condition(one) for one in getattr(given, name)] for name in ("must", "should", "must_not")
    }
    if given.HasField("min_should"):
        raise unsupported("min_should")
    if not any(groups.values()):
        return None
    return edge.Filter(**{name: found or None for name, found in groups.items()})


def _condition(given: messages.Condition) -> Any:
    kind = given.WhichOneof("condition_one_of")
    if kind == "field":
        return _field(given.field)
    if kind == "has_id":
        return edge.HasIdCondition({edge_id(one) for one in given.has_id.has_id})
    if kind == "is_empty":
        return edge.IsEmptyCondition(given.is_empty.key)
    if kind == "is_null":
        return edge.IsNullCondition(given.is_null.key)
    if kind == "filter":
        return edge_filter(given.filter) or edge.Filter()
    raise unsupported(f"conditions of kind '{kind}'")


def _field(field: messages.FieldCondition) -> Any:
    if field.HasField("match"):
        kind = field.match.WhichOneof("match_value")
        value = getattr(field.match, kind)
        if kind in ("keyword", "integer", "boolean"):
            return edge.FieldCondition(field.key, match=edge.MatchValue(value))
        if kind == "keywords":
            return edge.FieldCondition(field.key, match=edge.MatchAny(list(value.strings)))
        if kind == "except_keywords":
            return edge.FieldCondition(field.key, match=edge.MatchExcept(list(value.strings)))
        raise unsupported(f"matches of kind '{kind}'")
    if field.HasField("range"):
        bounds = {n: getattr(field.range, n) for n in ("lt", "gt", "gte", "lte") if field.range.HasField(n)}
        return edge.FieldCondition(field.key, range=edge.RangeFloat(**bounds))
    raise unsupported(f"the condition on '{field.key}'")


def edge_query(request: messages.QueryPoints, payload: Any, vectors: Any) -> Any:
    """A query as the engine takes it."""
    return edge.QueryRequest(
        request.limit if request.HasField("limit") else 10,
        offset=request.offset or None,
        query=_query(request.query, request.using) if request.HasField("query") else None,
        prefetches=[_prefetch(one) for one in request.prefetch] or None,
        with_vector=vectors,
        with_payload=payload,
        filter=edge_filter(request.filter),
        score_threshold=request.score_threshold if request.HasField("score_threshold") else None,
        params=_params(request.params) if request.HasField("params") else None,
    )


def _prefetch(given: messages.PrefetchQuery) -> Any:
    return edge.Prefetch(
        given.limit if given.HasField("limit") else 10,
        query=_query(given.query, given.using),
        prefetches=[_prefetch(one) for one in given.prefetch] or None,
        params=_params(given.params) if given.HasField("params") else None,
        filter=edge_filter(given.filter),
    )


def _query(query: messages.Query, using: str) -> Any:
    kind = query.WhichOneof("variant")
    if kind == "formula":
        return edge.Formula(_expression(query.formula.expression))
    if kind != "nearest":
        raise unsupported(f"queries of kind '{kind}'")
    shape = query.nearest.WhichOneof("variant")
    if shape == "dense":
        return edge.Query.Nearest(list(query.nearest.dense.data), using=using or None)
    if shape == "multi_dense":
        rows = [list(one.data) for one in query.nearest.multi_dense.vectors]
        return edge.Query.Nearest(rows, using=using or None)
    raise unsupported(f"queries by '{shape}'")


def _expression(given: messages.Expression) -> Any:
    kind = given.WhichOneof("variant")
    if kind == "constant":
        return edge.Expression.Constant(given.constant)
    if kind == "variable":
        return edge.Expression.Variable(given.variable)
    if kind == "mult":
        return edge.Expression.Mult([_expression(one) for one in given.mult.mult])
    if kind == "sum":
        return edge.Expression.Sum([_expression(one) for one in given.sum.sum])
    raise unsupported(f"formulas with '{kind}'")


def _params(given: messages.SearchParams) -> Any:
    quantization = None
    if given.HasField("quantization"):
        one = given.quantization
        quantization = edge.QuantizationSearchParams(
            one.ignore,
            one.rescore if one.HasField("rescore") else None,
            one.oversampling if one.HasField("oversampling") else None,
        )
    ef = given.hnsw_ef if given.HasField("hnsw_ef") else None
    return edge.SearchParams(ef, given.exact, quantization, given.indexed_only)


def wanted_payload(given: messages.WithPayloadSelector, default: bool) -> Any:
    """What of a payload is asked for: all, nothing, or these fields."""
    kind = given.WhichOneof("selector_options")
    if kind is None:
        return default
    if kind == "enable":
        return given.enable
    if kind == "include":
        return list(given.include.fields)
    raise unsupported("payloads without some fields")


def wanted_vectors(given: messages.WithVectorsSelector) -> Any:
    """Which vectors are asked for: all, none, or those of these names."""
    kind = given.WhichOneof("selector_options")
    if kind is None:
        return False
    return given.enable if kind == "enable" else list(given.include.names)


def fill_payload(message: Any, payload: dict[str, Any] | None) -> None:
    """Put a payload into a point's message."""
    for name, value in (payload or {}).items():
        message.payload[name].CopyFrom(json_to_value(value))


def fill_vectors(message: Any, vectors: Any) -> None:
    """Put vectors into a point's message."""
    if not vectors:
        return
    if not isinstance(vectors, dict):
        message.vectors.vector.dense.data.extend(vectors)
        return
    for name, vector in vectors.items():
        if name == UNUSED:
            continue
        out = message.vectors.vectors.vectors[name]
        if vector and isinstance(vector[0], list):
            for row in vector:
                out.multi_dense.vectors.add().data.extend(row)
        else:
            out.dense.data.extend(vector)
