"""The embedded index: Qdrant's own engine inside this process, one folder, one owner."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as qdrant

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, check_name
from cico_platform.index.clips import FILTER_FIELDS, Filters, Hit, IndexedClip, Tokens, point_id, pool
from cico_platform.index.locking import take_lock
from cico_platform.index.token_file import TokenFile
from cico_platform.steps import write_json

ALIASES_FILE, COLLECTIONS, COLLECTION_FILE = "aliases.json", "collections", "collection.json"
TOKENS_FILE, ENGINE = "tokens.f16", "engine"
# Where a clip's tokens lie in the token file; never shown to people.
PLACE = "_tokens"
PAGE = 512


class EmbeddedIndex(VectorIndex):
    """Collections in `<path>/collections/<name>/`, aliases in `<path>/aliases.json`.

    Parameters
    ----------
    path
        The folder; it is made if need be.
    must_exist
        Refuse a folder that holds no index instead.

    Raises
    ------
    InputError
        If `must_exist` and there is none.
    CicoError
        If another process owns the index.
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        self.path = Path(path).absolute()
        self.location = str(self.path)
        if must_exist and not (self.path / ALIASES_FILE).is_file():
            raise InputError(f"'{path}' holds no index; make one with 'cico index' or 'cico demo'")
        (self.path / COLLECTIONS).mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(self.path)
        self._open: dict[str, tuple[Any, TokenFile]] = {}

    def create(self, collection: str, dim: int) -> None:
        folder = self.path / COLLECTIONS / check_name(collection)
        described = folder / COLLECTION_FILE
        if described.is_file():
            known = json.loads(described.read_text())["dim"]
            if known != dim:
                raise CicoError(f"collection '{collection}' holds tokens of width {known}, not {dim}")
            return
        shutil.rmtree(folder, ignore_errors=True)
        (folder / ENGINE).mkdir(parents=True)
        shard = qdrant.EdgeShard.create(str(folder / ENGINE), _config(dim))
        for field in (*FILTER_FIELDS, "text_id", "video_id"):
            shard.update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Keyword))
        shard.update(qdrant.UpdateOperation.create_field_index("duration", qdrant.PayloadSchemaType.Float))
        write_json(described, {"dim": dim})
        self._open[collection] = (shard, TokenFile(folder / TOKENS_FILE, dim))

    def upsert(self, collection: str, clips: Sequence[IndexedClip]) -> None:
        shard, file = self._collection(collection)
        places = file.append([clip.tokens for clip in clips])
        points = [
            qdrant.Point(
                point_id(clip.video_id),
                {"pooled": pool(clip.tokens).tolist(), "tokens": clip.tokens.astype("float32").tolist()},
                {**clip.payload, "video_id": clip.video_id, PLACE: list(place)},
            )
            for clip, place in zip(clips, places, strict=True)
        ]
        shard.update(qdrant.UpdateOperation.upsert_points(points))

    def count(self, collection: str, filters: Filters | None = None) -> int:
        shard, _ = self._collection(collection)
        return int(shard.count(qdrant.CountRequest(exact=True, filter=_filter(filters))))

    def query(
        self,
        collection: str,
        pooled: Tokens,
        tokens: Tokens | None = None,
        *,
        limit: int = 10,
        candidates: int = 500,
        filters: Filters | None = None,
    ) -> list[Hit]:
        shard, _ = self._collection(collection)
        nearest = qdrant.Query.Nearest(pooled.astype("float32").tolist(), using="pooled")
        only = _filter(filters)
        if tokens is None:
            request = qdrant.QueryRequest(limit=limit, query=nearest, filter=only, with_payload=True)
        else:
            request = qdrant.QueryRequest(
                limit=limit,
                prefetches=[qdrant.Prefetch(limit=max(candidates, limit), query=nearest, filter=only)],
                query=qdrant.Query.Nearest(tokens.astype("float32").tolist(), using="tokens"),
                with_payload=True,
            )
        return [_hit(point.payload, point.score) for point in shard.query(request)]

    def fetch(
        self,
        collection: str,
        video_ids: Sequence[str] | None = None,
        *,
        filters: Filters | None = None,
        tokens: bool = False,
    ) -> Iterator[Hit]:
        shard, file = self._collection(collection)
        for record in self._records(shard, video_ids, filters):
            place = record.payload[PLACE]
            yield _hit(record.payload, 0.0, file.read((place[0], place[1])) if tokens else None)

    def _records(self, shard: Any, video_ids: Sequence[str] | None, filters: Filters | None) -> Iterator[Any]:
        if video_ids is not None:
            found = shard.retrieve(
                [point_id(video_id) for video_id in video_ids], with_payload=True, with_vector=False
            )
            by_id = {record.payload["video_id"]: record for record in found}
            yield from (by_id[video_id] for video_id in video_ids if video_id in by_id)
            return
        offset = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset, limit=PAGE, filter=_filter(filters), with_payload=True, with_vector=False
            )
            records, offset = shard.scroll(request)
            yield from records
            if offset is None:
                return

    def alias(self, name: str, collection: str | None = None) -> str | None:
        file = self.path / ALIASES_FILE
        aliases: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
        if collection is not None:
            shard, _ = self._collection(collection)
            shard.flush()
            shard.optimize()
            shard.flush()
            aliases[check_name(name)] = collection
            write_json(file, aliases)
        return aliases.get(name)

    def delete(
        self, collection: str, video_ids: Sequence[str] | None = None, *, filters: Filters | None = None
    ) -> None:
        folder = self.path / COLLECTIONS / check_name(collection)
        if video_ids is None and filters is None:
            if collection in self._open:
                self._open.pop(collection)[0].close()
            shutil.rmtree(folder, ignore_errors=True)
            return
        shard, _ = self._collection(collection)
        ids = video_ids
        if ids is None:
            ids = [record.payload["video_id"] for record in self._records(shard, None, filters)]
        shard.update(qdrant.UpdateOperation.delete_points([point_id(video_id) for video_id in ids]))
        shard.flush()

    def close(self) -> None:
        while self._open:
            shard, _ = self._open.popitem()[1]
            shard.flush()
            shard.close()
        self._lock.close()

    def _collection(self, name: str) -> tuple[Any, TokenFile]:
        if name not in self._open:
            folder = self.path / COLLECTIONS / check_name(name)
            if not (folder / COLLECTION_FILE).is_file():
                raise InputError(f"the index '{self.path}' has no collection '{name}'")
            dim = json.loads((folder / COLLECTION_FILE).read_text())["dim"]
            shard = qdrant.EdgeShard.load(str(folder / ENGINE))
            self._open[name] = (shard, TokenFile(folder / TOKENS_FILE, dim))
        return self._open[name]


def _config(dim: int) -> Any:
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
            ),
        }
    )


def _filter(filters: Filters | None) -> Any:
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


def _hit(payload: dict[str, Any], score: float, tokens: Tokens | None = None) -> Hit:
    shown = {name: value for name, value in payload.items() if name != PLACE}
    return Hit(str(payload["video_id"]), float(score), shown, tokens)
