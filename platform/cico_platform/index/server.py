"""The index on a Qdrant server, through its client; `:memory:` is the client's own small engine."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, check_name, previous_of
from cico_platform.index.clips import FILTER_FIELDS, Filters, Hit, Hits, IndexedClip, Tokens, point_id
from cico_platform.index.set_encoding import encoding_weight, point_vector, query_vector, set_encoder
from cico_platform.index.token_storage import Quantization

PAGE = 256
TIMEOUT_SECONDS = 30
# The client's own engine, which quantises nothing.
MEMORY = ":memory:"
# What is quantised is compared as it is: the last stage has the tokens as they were.
QUANTIZED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))


class ServerIndex(VectorIndex):
    """Collections and aliases of a Qdrant server.

    Parameters
    ----------
    url
        `http://…`, or `:memory:`.

    Raises
    ------
    CicoError
        If the server doesn't answer.
    """

    def __init__(self, url: str) -> None:
        self.location = url
        self._client = (
            QdrantClient(MEMORY) if url == MEMORY else QdrantClient(url=url, timeout=TIMEOUT_SECONDS)
        )
        try:
            self._client.get_collections()
        except (ApiException, OSError) as error:
            raise CicoError(f"no Qdrant server answers at {url}: {_first_line(error)}") from error

    def create(self, collection: str, dim: int, quantization: Quantization = "none") -> None:
        if self._client.collection_exists(check_name(collection)):
            known = self._client.get_collection(collection).config.params.vectors
            width = known["tokens"].size if isinstance(known, dict) else 0
            if width != dim:
                raise CicoError(f"collection '{collection}' holds tokens of width {width}, not {dim}")
            return
        self._client.create_collection(collection, vectors_config=_vectors(dim, quantization))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the in-memory engine says that it needs no payload index
            for field in (*FILTER_FIELDS, "text_id", "video_id"):
                self._client.create_payload_index(collection, field, models.PayloadSchemaType.KEYWORD)
            self._client.create_payload_index(collection, "duration", models.PayloadSchemaType.FLOAT)

    def upsert(self, collection: str, clips: Sequence[IndexedClip]) -> None:
        points = [
            models.PointStruct(
                id=point_id(clip.video_id),
                vector={
                    "pooled": point_vector(clip.tokens).tolist(),
                    "tokens": clip.tokens.astype("float32").tolist(),
                },
                payload={**clip.payload, "video_id": clip.video_id},
            )
            for clip in clips
        ]
        self._client.upsert(collection, points, wait=True)

    def count(self, collection: str, filters: Filters | None = None) -> int:
        self._check(collection)
        return self._client.count(collection, count_filter=_filter(filters), exact=True).count

    def query(
        self,
        collection: str,
        tokens: Tokens,
        *,
        limit: int = 10,
        candidates: int | None = None,
        filters: Filters | None = None,
        with_tokens: bool = False,
    ) -> Hits:
        self._check(collection)
        encoding, only = query_vector(tokens).tolist(), _filter(filters)
        vectors: bool | list[str] = ["tokens"] if with_tokens else False
        if candidates is None:
            found = self._client.query_points(
                collection,
                query=encoding,
                using="pooled",
                limit=limit,
                query_filter=only,
                with_vectors=vectors,
            )
        else:
            first = models.Prefetch(query=encoding, using="pooled", limit=max(candidates, limit), filter=only)
            second = models.Prefetch(
                query=np.asarray(tokens, np.float32).tolist(),
                using="tokens",
                prefetch=first,
                limit=first.limit,
                params=None if self.location == MEMORY else QUANTIZED,
            )
            weighted = models.MultExpression(mult=[encoding_weight(tokens), "$score[0]"])
            found = self._client.query_points(
                collection,
                prefetch=[first, second],
                query=models.FormulaQuery(formula=models.SumExpression(sum=[weighted, "$score[1]"])),
                limit=limit,
                with_vectors=vectors,
            )
        points = found.points
        return Hits(len(points), lambda i: _hit(points[i], points[i].score))

    def fetch(
        self,
        collection: str,
        video_ids: Sequence[str] | None = None,
        *,
        filters: Filters | None = None,
        tokens: bool = False,
    ) -> Iterator[Hit]:
        self._check(collection)
        vectors = ["tokens"] if tokens else False
        for record in self._records(collection, video_ids, filters, vectors):
            yield _hit(record, 0.0)

    def _records(
        self,
        collection: str,
        video_ids: Sequence[str] | None,
        filters: Filters | None,
        vectors: bool | list[str],
    ) -> Iterator[Any]:
        if video_ids is not None:
            ids = [point_id(video_id) for video_id in video_ids]
            found = self._client.retrieve(collection, ids, with_payload=True, with_vectors=vectors)
            by_id = {str(record.id): record for record in found}
            yield from (by_id[i] for i in ids if i in by_id)
            return
        offset: Any = None
        while True:
            records, offset = self._client.scroll(
                collection,
                _filter(filters),
                limit=PAGE,
                offset=offset,
                with_payload=True,
                with_vectors=vectors,
            )
            yield from records
            if offset is None:
                return

    def alias(self, name: str, collection: str | None = None, *, keep: bool = True) -> str | None:
        known = {a.alias_name: a.collection_name for a in self._client.get_aliases().aliases}
        if collection is None:
            return known.get(name)
        self._check(collection)
        before = known.get(check_name(name))
        wanted = {name: collection}
        if keep and before not in (None, collection):
            wanted[previous_of(name)] = before
        moves: list[Any] = []
        for alias, target in wanted.items():
            if alias in known:
                drop = models.DeleteAlias(alias_name=alias)
                moves.append(models.DeleteAliasOperation(delete_alias=drop))
            create = models.CreateAlias(collection_name=target, alias_name=alias)
            moves.append(models.CreateAliasOperation(create_alias=create))
        self._client.update_collection_aliases(moves)
        return collection

    def delete(
        self, collection: str, video_ids: Sequence[str] | None = None, *, filters: Filters | None = None
    ) -> None:
        if video_ids is None and filters is None:
            if self._client.collection_exists(check_name(collection)):
                self._client.delete_collection(collection)
            return
        self._check(collection)
        ids = video_ids
        if ids is None:
            ids = [hit.video_id for hit in self.fetch(collection, filters=filters)]
        selected = models.PointIdsList(points=[point_id(video_id) for video_id in ids])
        self._client.delete(collection, selected, wait=True)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close()

    def _check(self, collection: str) -> None:
        try:
            known = self._client.collection_exists(check_name(collection))
        except (ApiException, OSError) as error:
            raise CicoError(f"the Qdrant server at {self.location} fails: {_first_line(error)}") from error
        if not known:
            raise InputError(f"the index '{self.location}' has no collection '{collection}'")


def _quantization(name: Quantization) -> models.QuantizationConfig | None:
    if name == "scalar":
        return models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    if name == "product":
        product = models.ProductQuantizationConfig(compression=models.CompressionRatio.X16)
        return models.ProductQuantization(product=product)
    if name == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    return None


def _vectors(dim: int, quantization: Quantization) -> dict[str, models.VectorParams]:
    """`pooled` under HNSW; `tokens` on disk, compared by MaxSim, without a graph; both in half precision."""
    return {
        "pooled": models.VectorParams(
            size=set_encoder(dim).size,
            distance=models.Distance.COSINE,
            datatype=models.Datatype.FLOAT16,
            hnsw_config=models.HnswConfigDiff(ef_construct=200),
        ),
        "tokens": models.VectorParams(
            size=dim,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            datatype=models.Datatype.FLOAT16,
            on_disk=True,
            hnsw_config=models.HnswConfigDiff(m=0),
            quantization_config=_quantization(quantization),
        ),
    }


def _filter(filters: Filters | None) -> models.Filter | None:
    if filters is None or filters.is_empty():
        return None
    must: list[Any] = [
        models.FieldCondition(key=name, match=models.MatchAny(any=values))
        for name, values in filters.values().items()
    ]
    if filters.min_duration is not None or filters.max_duration is not None:
        lasting = models.Range(gte=filters.min_duration, lte=filters.max_duration)
        must.append(models.FieldCondition(key="duration", range=lasting))
    return models.Filter(must=must)


def _hit(point: models.ScoredPoint | models.Record, score: float) -> Hit:
    """A point with its tokens, if it has brought them."""
    payload = dict(point.payload or {})
    held = point.vector.get("tokens") if isinstance(point.vector, dict) else None
    tokens = None if held is None else np.asarray(held, dtype=np.float32)
    return Hit(float(score), payload, tokens)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
