"""How the embedded engine keeps the vectors of a collection, how it is asked, and what filters are to it."""

from typing import Any

import numpy as np
import qdrant_edge as qdrant

from cico_platform.index.clips import Filters, Tokens
from cico_platform.index.set_encoding import encoding_weight, query_vector, set_encoder
from cico_platform.index.token_storage import Quantization


def _quantization(name: Quantization) -> Any:
    if name == "scalar":
        return qdrant.ScalarQuantizationConfig(qdrant.ScalarType.Int8)
    if name == "product":
        return qdrant.ProductQuantizationConfig(qdrant.CompressionRatio.X16)
    return qdrant.BinaryQuantizationConfig() if name == "binary" else None


def engine_config(dim: int, quantization: Quantization = "none") -> Any:
    """`pooled` under HNSW, in half precision; `tokens`, compared by MaxSim, only where they are quantised."""
    vectors = {
        "pooled": qdrant.EdgeVectorParams(
            set_encoder(dim).size, qdrant.Distance.Cosine, datatype=qdrant.VectorStorageDatatype.Float16
        )
    }
    if quantization != "none":
        vectors["tokens"] = qdrant.EdgeVectorParams(
            dim,
            qdrant.Distance.Cosine,
            multivector_config=qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim),
            datatype=qdrant.VectorStorageDatatype.Float16,
            memory=qdrant.Memory.Cold,
            hnsw_config=qdrant.HnswIndexConfig(m=0, ef_construct=4, full_scan_threshold=10),
            quantization_config=_quantization(quantization),
        )
    return qdrant.EdgeConfig(vectors=vectors)


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
    return qdrant.QueryRequest(
        limit=limit, query=_by_encoding(tokens), filter=only, with_payload=with_payload
    )


def nearest_of(tokens: Tokens, limit: int, candidates: int, only: Any) -> Any:
    """Two stages: the best by MaxSim and encoding, of the candidates whose encoding is nearest.

    For tokens that are quantised; the engine looks for the nearest twice (see decision 0011).
    """
    first = qdrant.Prefetch(limit=candidates, query=_by_encoding(tokens), filter=only)
    second = qdrant.Prefetch(
        limit=candidates,
        query=qdrant.Query.Nearest(np.asarray(tokens, np.float32).tolist(), using="tokens"),
        prefetches=[first],
        # What is quantised is compared as it is: the last stage has the tokens as they were.
        params=qdrant.SearchParams(quantization=qdrant.QuantizationSearchParams(rescore=False)),
    )
    score = qdrant.Expression
    encoding = score.Mult([score.Constant(encoding_weight(tokens)), score.Variable("$score[0]")])
    both = qdrant.Formula(score.Sum([encoding, score.Variable("$score[1]")]))
    return qdrant.QueryRequest(limit=limit, prefetches=[first, second], query=both)


def _by_encoding(tokens: Tokens) -> Any:
    return qdrant.Query.Nearest(query_vector(tokens).tolist(), using="pooled")
