"""The embedded index: Qdrant's own engine inside this process, a folder a collection, each with one owner."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

import qdrant_edge as qdrant

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, check_name, previous_of
from cico_platform.index.clips import FILTER_FIELDS, Filters, IndexedClip
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.disk_space import check_space
from cico_platform.index.earlier_embedded import earlier_clips
from cico_platform.index.embedded_points import EmbeddedPoints
from cico_platform.index.embedded_stage import EmbeddedStage, complete
from cico_platform.index.engine import engine_config
from cico_platform.index.locking import take_lock
from cico_platform.index.point_changes import (
    delete_filtered,
    delete_named,
    delete_rows,
    erase_deleted,
    settle,
    write_clips,
)
from cico_platform.index.points import Points
from cico_platform.index.set_encoding import EARLIER, LAYOUT
from cico_platform.index.staging import Stage, Staged
from cico_platform.index.token_storage import Quantization
from cico_platform.index.token_store.row_numbers import Rows
from cico_platform.steps import write_json
from cico_platform.storage import Place

ALIASES_FILE, COLLECTIONS = "aliases.json", "collections"
COLLECTION_FILE, ENGINE, TOKENS = "collection.json", "engine", "tokens"


class Opened(NamedTuple):
    """A collection that this process owns: its points, and the lock that it holds."""

    points: EmbeddedPoints
    lock: TextIOWrapper


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

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        self.path = Path(path).absolute()
        self.location = str(self.path)
        if must_exist and not (self.path / ALIASES_FILE).is_file():
            raise InputError(f"'{path}' holds no index; make one with 'cico index' or 'cico demo'")
        (self.path / COLLECTIONS).mkdir(parents=True, exist_ok=True)
        self._writing: TextIOWrapper | None = None
        self._open: dict[str, Opened] = {}
        self._opening = threading.Lock()

    def create(self, collection: str, dim: int, quantization: Quantization = "none") -> None:
        self._own()
        folder = self.path / COLLECTIONS / check_name(collection)
        described = folder / COLLECTION_FILE
        if described.is_file():
            known = json.loads(described.read_text())["dim"]
            if known != dim:
                raise CicoError(f"collection '{collection}' holds tokens of width {known}, not {dim}")
            settle(self._points(collection))
            return
        check_space(self.path)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / ENGINE).mkdir(parents=True)
        lock = take_lock(folder, self._named(collection))
        shard = qdrant.EdgeShard.create(str(folder / ENGINE), engine_config(dim))
        for field in (*FILTER_FIELDS, "text_id", "video_id"):
            shard.update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Keyword))
        shard.update(qdrant.UpdateOperation.create_field_index("duration", qdrant.PayloadSchemaType.Float))
        table = CollectionTokens(folder / TOKENS, dim, quantization)
        table.create()
        write_json(described, {"dim": dim, "quantization": quantization, "layout": LAYOUT})
        points = EmbeddedPoints(collection, shard, table)
        self._open[collection] = Opened(points, lock)

    def upsert(self, collection: str, clips: Sequence[IndexedClip]) -> None:
        self._own()
        check_space(self.path)
        write_clips(self._points(collection), clips)

    def stage(self, collection: str) -> Stage:
        table = self._points(collection).table
        return EmbeddedStage(self.path / COLLECTIONS / collection / TOKENS, table.dim, table.storage)

    def complete(self, collection: str, staged: Staged) -> None:
        self._own()
        check_space(self.path)
        complete(self._points(collection), staged)

    def settle(self, collection: str) -> None:
        self._own()
        settle(self._points(collection))

    def delete_rows(self, collection: str, rows: Rows) -> None:
        self._own()
        delete_rows(self._points(collection), rows)

    def points(self, collection: str) -> Points:
        return self._points(collection)

    def earlier(self, collection: str) -> Iterator[list[IndexedClip]]:
        folder = self._folder(collection)
        with take_lock(folder, self._named(collection)):
            shard = qdrant.EdgeShard.load(str(folder / ENGINE))
            try:
                yield from earlier_clips(folder, shard, _described(folder)["dim"])
            finally:
                shard.close()

    def alias(self, name: str, collection: str | None = None, *, keep: bool = True) -> str | None:
        if collection is not None:
            self._own()
            points = self._points(collection)
            points.shard.flush()
            points.shard.optimize()
            points.shard.flush()
            points.table.join()
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
        elif video_ids is not None:
            delete_named(self._points(collection), video_ids)
        else:
            delete_filtered(self._points(collection), filters or Filters())

    def erase_deleted(self, collection: str) -> None:
        self._own()
        erase_deleted(self._points(collection))

    def folders(self, collections: Sequence[str]) -> list[Place]:
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
        opened.points.shard.flush()
        opened.points.shard.close()
        opened.points.table.close()
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

    def _points(self, name: str) -> EmbeddedPoints:
        with self._opening:
            if name not in self._open:
                self._open[name] = self._load(name)
            return self._open[name].points

    def _folder(self, name: str) -> Path:
        folder = self.path / COLLECTIONS / check_name(name)
        if not (folder / COLLECTION_FILE).is_file():
            raise self._missing(name)
        return folder

    def _missing(self, name: str) -> InputError:
        return InputError(f"the index '{self.path}' has no collection '{name}'")

    def _load(self, name: str) -> Opened:
        folder = self._folder(name)
        lock = take_lock(folder, self._named(name))
        try:
            about = _described(folder)
            if about.get("layout") != LAYOUT:
                raise CicoError(f"{self._named(name)} was built by {EARLIER}")
            shard = qdrant.EdgeShard.load(str(folder / ENGINE))
        except BaseException as error:
            lock.close()
            if isinstance(error, FileNotFoundError):  # it was removed while we waited
                raise self._missing(name) from None
            raise
        table = CollectionTokens(folder / TOKENS, about["dim"], about["quantization"])
        return Opened(EmbeddedPoints(name, shard, table), lock)


def _described(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / COLLECTION_FILE).read_text()))
