"""How the embedded engine keeps the vectors of a collection, how it is asked, and what filters are to it."""

from typing import Any

import qdrant_edge as qdrant

from cico_platform.index.clips import Filters, Tokens
from cico_platform.index.set_encoding import query_vector, set_encoder


def engine_config(dim: int) -> Any:
    """Encodings of sets of tokens of width `dim` under HNSW.

    They are compared as bytes, which are in memory. In half precision they are on disk, and are read when a
    graph is built; payloads are on disk, too.
    """
    memory = qdrant.Memory
    pooled = qdrant.EdgeVectorParams(
        set_encoder(dim).size,
        qdrant.Distance.Cosine,
        datatype=qdrant.VectorStorageDatatype.Float16,
        memory=memory.Cold,
        quantization_config=qdrant.ScalarQuantizationConfig(qdrant.ScalarType.Int8, memory=memory.Pinned),
    )
    return qdrant.EdgeConfig(vectors={"pooled": pooled}, payload_memory=memory.Cold)


def engine_filter(filters: Filters | None) -> Any:
    if filters is None or filters.is_empty():
        return None
    must: list[Any] = [
        qdrant.FieldCondition(name, match=qdrant.MatchAny(values))
        for name, values in filters.values().items()
    ]
    if filters.min_duration is not None or filters.max_duration is not None:
        lasting = qdrant.RangeFloat(gte=filters.min_duration, lte=filters.max_duration)
        must.append(qdrant.FieldCondition("duration", range=lasting))
    return qdrant.Filter(must=must)


def nearest(tokens: Tokens, limit: int, only: Any, with_payload: bool | list[str]) -> Any:
    """The first stage alone: a request for the clips whose encoding is nearest to the tokens' [Q, D]."""
    query = qdrant.Query.Nearest(query_vector(tokens).tolist(), using="pooled")
    # Not by half precision once more: candidates are ranked by their tokens.
    params = qdrant.SearchParams(quantization=qdrant.QuantizationSearchParams(rescore=False))
    return qdrant.QueryRequest(
        limit=limit, query=query, filter=only, with_payload=with_payload, params=params
    )
