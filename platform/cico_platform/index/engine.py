"""How the embedded engine keeps the vectors of a collection, and what filters are to it."""

from typing import Any

import qdrant_edge as qdrant

from cico_platform.index.clips import Filters
from cico_platform.index.token_storage import Quantization


def _quantization(name: Quantization) -> Any:
    if name == "scalar":
        return qdrant.ScalarQuantizationConfig(qdrant.ScalarType.Int8)
    if name == "product":
        return qdrant.ProductQuantizationConfig(qdrant.CompressionRatio.X16)
    return qdrant.BinaryQuantizationConfig() if name == "binary" else None


def quantized_search() -> Any:
    """What is quantised is compared as it is: the last stage has the tokens as they were."""
    return qdrant.SearchParams(quantization=qdrant.QuantizationSearchParams(rescore=False))


def engine_config(dim: int, quantization: Quantization = "none") -> Any:
    """`pooled` under HNSW; `tokens` in half precision on disk, compared by MaxSim, without a graph."""
    return qdrant.EdgeConfig(
        vectors={
            "pooled": qdrant.EdgeVectorParams(dim, qdrant.Distance.Cosine),
            "tokens": qdrant.EdgeVectorParams(
                dim,
                qdrant.Distance.Cosine,
                multivector_config=qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim),
                datatype=qdrant.VectorStorageDatatype.Float16,
                memory=qdrant.Memory.Cold,
                hnsw_config=qdrant.HnswIndexConfig(m=0, ef_construct=4, full_scan_threshold=10),
                quantization_config=_quantization(quantization),
            ),
        }
    )


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
