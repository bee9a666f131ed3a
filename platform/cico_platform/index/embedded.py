"""The embedded index: Qdrant's own engine inside this process, a folder a collection, each with one owner."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from uuid import UUID

import qdrant_edge as qdrant

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, check_name, previous_of
from cico_platform.index.clips import (
    FILTER_FIELDS,
    Filters,
    Hit,
    Hits,
    IndexedClip,
    Tokens,
    point_id,
)
from cico_platform.index.disk_space import check_space
from cico_platform.index.engine import engine_config, engine_filter
from cico_platform.index.locking import take_lock
from cico_platform.index.open_collection import COLLECTION_FILE, OpenCollection, open_collection
from cico_platform.index.token_storage import Quantization
from cico_platform.steps import write_json

ALIASES_FILE, COLLECTIONS, ENGINE = "aliases.json", "collections", "engine"
PAGE = 512


class EmbeddedIndex(VectorIndex):
    """Collections in `<path>/collections/<name>/`, aliases in `<path>/aliases.json`.

    A process owns the collections that it has opened, and the index once it changes anything: another one may
    fill a collection beside the one that is being searched, and move the alias.

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
    """

    # Tokens are at hand: to rank a candidate exactly costs little more than its MaxSim.
    candidates, rerank = 1100, 1100

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        self.path = Path(path).absolute()
        self.location = str(self.path)
        if must_exist and not (self.path / ALIASES_FILE).is_file():
            raise InputError(f"'{path}' holds no index; make one with 'cico index' or 'cico demo'")
        (self.path / COLLECTIONS).mkdir(parents=True, exist_ok=True)
        self._writing: TextIOWrapper | None = None
        self._open: dict[str, OpenCollection] = {}
        self._opening = threading.Lock()

    def create(self, collection: str, dim: int, quantization: Quantization = "none") -> None:
        self._own()
        folder = self.path / COLLECTIONS / check_name(collection)
        described = folder / COLLECTION_FILE
        if described.is_file():
            known = json.loads(described.read_text())["dim"]
            if known != dim:
                raise CicoError(f"collection '{collection}' holds tokens of width {known}, not {dim}")
            return
        check_space(self.path)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / ENGINE).mkdir(parents=True)
        lock = take_lock(folder, self._named(collection))
        shard = qdrant.EdgeShard.create(str(folder / ENGINE), engine_config(dim, quantization))
        for field in (*FILTER_FIELDS, "text_id", "video_id"):
            shard.update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Keyword))
        shard.update(qdrant.UpdateOperation.create_field_index("duration", qdrant.PayloadSchemaType.Float))
        write_json(described, {"dim": dim, "quantization": quantization})
        self._open[collection] = open_collection(folder, shard, lock)

    def upsert(self, collection: str, clips: Sequence[IndexedClip]) -> None:
        self._own()
        check_space(self.path)
        opened = self._collection(collection)
        ids = [UUID(point_id(clip.video_id)) for clip in clips]
        opened.places.add(ids, opened.tokens.append([clip.tokens for clip in clips]))
        points = [
            qdrant.Point(point, opened.vectors(clip), {**clip.payload, "video_id": clip.video_id})
            for point, clip in zip(ids, clips, strict=True)
        ]
        opened.shard.update(qdrant.UpdateOperation.upsert_points(points))

    def count(self, collection: str, filters: Filters | None = None) -> int:
        shard = self._collection(collection).shard
        return int(shard.count(qdrant.CountRequest(exact=True, filter=engine_filter(filters))))

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
        opened = self._collection(collection)
        only = engine_filter(filters)
        if candidates is None:
            return opened.nearest(tokens, limit, only, with_tokens)
        return opened.likeliest(tokens, limit, max(candidates, limit), only, with_tokens)

    def fetch(
        self,
        collection: str,
        video_ids: Sequence[str] | None = None,
        *,
        filters: Filters | None = None,
        tokens: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Hit]:
        opened = self._collection(collection)
        for record in self._records(opened.shard, video_ids, filters, fields):
            yield Hit(0.0, record.payload, opened.read(record.id) if tokens else None)

    def _records(
        self,
        shard: Any,
        video_ids: Sequence[str] | None,
        filters: Filters | None,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Any]:
        payload = True if fields is None else sorted({"video_id", *fields})
        if video_ids is not None:
            found = shard.retrieve(
                [point_id(video_id) for video_id in video_ids], with_payload=payload, with_vector=False
            )
            by_id = {record.payload["video_id"]: record for record in found}
            yield from (by_id[video_id] for video_id in video_ids if video_id in by_id)
            return
        offset = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset,
                limit=PAGE,
                filter=engine_filter(filters),
                with_payload=payload,
                with_vector=False,
            )
            records, offset = shard.scroll(request)
            yield from records
            if offset is None:
                return

    def alias(self, name: str, collection: str | None = None, *, keep: bool = True) -> str | None:
        if collection is not None:
            self._own()
            shard = self._collection(collection).shard
            shard.flush()
            shard.optimize()
            shard.flush()
            aliases = self._aliases()
            before = aliases.get(check_name(name))
            if keep and before not in (None, collection):
                aliases[previous_of(name)] = str(before)
            aliases[name] = collection
            write_json(self.path / ALIASES_FILE, aliases)
        return self._aliases().get(name)

    def delete(
        self, collection: str, video_ids: Sequence[str] | None = None, *, filters: Filters | None = None
    ) -> None:
        self._own()
        if video_ids is None and filters is None:
            self._delete_collection(check_name(collection))
            return
        shard = self._collection(collection).shard
        ids = video_ids
        if ids is None:
            ids = [record.payload["video_id"] for record in self._records(shard, None, filters, ())]
        shard.update(qdrant.UpdateOperation.delete_points([point_id(video_id) for video_id in ids]))
        shard.flush()

    def erase_deleted(self, collection: str) -> None:
        return

    def folders(self, collections: Sequence[str]) -> list[Path]:
        return [self.path]

    def close(self) -> None:
        while self._open:
            self._let_go(next(iter(self._open)))
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _own(self) -> None:
        """Become the index's one writer."""
        if self._writing is None:
            self._writing = take_lock(self.path, f"the index '{self.path}'")

    def _named(self, collection: str) -> str:
        return f"collection '{collection}' of the index '{self.path}'"

    def _aliases(self) -> dict[str, str]:
        file = self.path / ALIASES_FILE
        return dict(json.loads(file.read_text())) if file.is_file() else {}

    def _let_go(self, collection: str) -> None:
        opened = self._open.pop(collection)
        opened.shard.flush()
        opened.shard.close()
        opened.lock.close()

    def _delete_collection(self, collection: str) -> None:
        """Remove it whole: no one sees half of it, and who is reading it is waited for a while."""
        folder = self.path / COLLECTIONS / collection
        if collection in self._open:
            self._let_go(collection)
        aliases = {name: target for name, target in self._aliases().items() if target != collection}
        if (folder / COLLECTION_FILE).is_file():
            with take_lock(folder, self._named(collection)):
                if aliases != self._aliases():
                    write_json(self.path / ALIASES_FILE, aliases)
                (folder / COLLECTION_FILE).unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def _collection(self, name: str) -> OpenCollection:
        with self._opening:
            if name not in self._open:
                folder = self.path / COLLECTIONS / check_name(name)
                described = folder / COLLECTION_FILE
                if not described.is_file():
                    raise InputError(f"the index '{self.path}' has no collection '{name}'")
                lock = take_lock(folder, self._named(name))
                try:
                    shard = qdrant.EdgeShard.load(str(folder / ENGINE))
                except BaseException as error:
                    lock.close()
                    if isinstance(error, FileNotFoundError):  # it was removed while we waited
                        raise InputError(f"the index '{self.path}' has no collection '{name}'") from None
                    raise
                self._open[name] = open_collection(folder, shard, lock)
            return self._open[name]
