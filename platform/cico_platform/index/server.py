"""The index on a Qdrant server, over gRPC: encodings, payloads and filters there, tokens in a token store."""

import time
from collections.abc import Iterator, Sequence

from qdrant_client import grpc as messages

from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex, check_name, previous_of
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.earlier_server import earlier_clips
from cico_platform.index.point_changes import (
    delete_filtered,
    delete_named,
    delete_rows,
    erase_deleted,
    settle,
    write_clips,
)
from cico_platform.index.points import Points
from cico_platform.index.server_client import MissingError, ServerClient, patient_reads
from cico_platform.index.server_collections import ServerCollection, ServerCollections
from cico_platform.index.server_messages import INDEXED, new_collection
from cico_platform.index.server_points import ServerPoints, no_collection
from cico_platform.index.server_records import ServerRecords
from cico_platform.index.server_settings import ServerSettings, server_settings
from cico_platform.index.server_stage import ServerStage
from cico_platform.index.staging import Stage, Staged
from cico_platform.index.token_storage import Quantization
from cico_platform.index.token_store.row_numbers import Rows
from cico_platform.storage import Place

GREEN_SECONDS, FIRST_STEP, LONGEST_STEP = 600.0, 0.02, 1.0


class ServerIndex(VectorIndex):
    """Collections and aliases of a Qdrant server.

    The server has no tokens. It gives out the ids of points, which are rows of the
    tokens beside it, and the payloads of what is shown.

    Parameters
    ----------
    url
        As `server_settings.server_address` takes it.
    settings
        Those of the environment by default.

    Raises
    ------
    InputError
        If it is no such URL.
    CicoError
        If the server doesn't answer, or refuses the key.
    """

    def __init__(self, url: str, settings: ServerSettings | None = None) -> None:
        self.location = url
        self.settings = settings or server_settings()
        self._client = ServerClient(url, self.settings)
        self._collections = ServerCollections(self._client)
        records = ServerRecords(self._client)
        self.records = records
        try:
            records.exist()
        except BaseException:
            self._client.close()
            raise

    @patient_reads()
    def create(self, collection: str, dim: int, quantization: Quantization = "none") -> None:
        found = self._find(check_name(collection))
        if found is None:
            about = self._collections.described(collection, dim, quantization)
            found = self._create(new_collection(collection, dim, self.settings, about))
        if found.dim != dim:
            raise CicoError(f"collection '{collection}' holds tokens of width {found.dim}, not {dim}")
        if self._points(collection).count(None):
            settle(self._points(collection))
        else:
            found.table.create()
        for field in sorted(INDEXED.keys() - found.indexed):  # also of one whose making was cut
            request = messages.CreateFieldIndexCollection(
                collection_name=collection, field_name=field, field_type=INDEXED[field], wait=True
            )
            self._client.write(self._client.points.CreateFieldIndex, request)

    @patient_reads()
    def upsert(self, collection: str, clips: Sequence[IndexedClip]) -> None:
        write_clips(self._points(collection), clips)

    def stage(self, collection: str) -> Stage:
        self._points(collection).tokens()
        return ServerStage(self.location, self.settings, collection)

    def complete(self, collection: str, staged: Staged) -> None:
        """Do nothing: the stage has done all."""

    @patient_reads()
    def settle(self, collection: str) -> None:
        settle(self._points(collection))

    @patient_reads()
    def delete_rows(self, collection: str, rows: Rows) -> None:
        delete_rows(self._points(collection), rows)

    def points(self, collection: str) -> Points:
        return self._points(collection)

    def earlier(self, collection: str) -> Iterator[list[IndexedClip]]:
        return earlier_clips(self._client, check_name(collection))

    def alias(self, name: str, collection: str | None = None, *, keep: bool = True) -> str | None:
        listed = self._client.read(self._client.collections.ListAliases, messages.ListAliasesRequest())
        known = {one.alias_name: one.collection_name for one in listed.aliases}
        if collection is None:
            return known.get(name)
        with patient_reads():
            self._await_graph(collection)
            self._points(collection).collection.tokens().join()
        before = known.get(check_name(name))
        wanted = {name: collection}
        if keep and before not in (None, collection):
            wanted[previous_of(name)] = str(before)
        moves: list[messages.AliasOperations] = []
        for alias, target in wanted.items():
            drop = messages.DeleteAlias(alias_name=alias)
            create = messages.CreateAlias(alias_name=alias, collection_name=target)
            moves.append(messages.AliasOperations(delete_alias=drop))
            moves.append(messages.AliasOperations(create_alias=create))
        self._client.write(self._client.collections.UpdateAliases, messages.ChangeAliases(actions=moves))
        return collection

    @patient_reads()
    def delete(
        self, collection: str, video_ids: Sequence[str] | None = None, *, filters: Filters | None = None
    ) -> None:
        if video_ids is None and filters is None:
            self._delete_collection(check_name(collection))
        elif video_ids is not None:
            delete_named(self._points(collection), list(video_ids))
        else:
            delete_filtered(self._points(collection), filters or Filters())

    @patient_reads()
    def erase_deleted(self, collection: str) -> None:
        erase_deleted(self._points(collection))
        self._collections.remove_left_over()

    def folders(self, collections: Sequence[str]) -> list[Place]:
        found = [self._find(name) for name in collections]
        return [known.table.folder for known in found if known is not None]

    def close(self) -> None:
        self._client.close()

    def _points(self, name: str) -> ServerPoints:
        try:
            return ServerPoints(self._client, self._collections.get(check_name(name)))
        except MissingError:
            raise no_collection(self.location, name) from None

    def _find(self, collection: str) -> ServerCollection | None:
        try:
            return self._collections.read(collection)
        except MissingError:
            return None

    def _create(self, request: messages.CreateCollection) -> ServerCollection:
        name = request.collection_name
        try:
            self._client.write(self._client.collections.Create, request)
        except CicoError:
            # The answer to an earlier try may have been lost, or another process was faster.
            found = self._find(name)
            if found is None:
                raise
            return found
        try:
            return self._collections.read(name)
        except MissingError:
            raise no_collection(self.location, name) from None
        except CicoError as error:
            version = self._client.version()
            needed = f"the Qdrant server at {self.location} is of version {version}, which keeps no metadata"
            raise CicoError(f"{needed}: 1.16 or later is needed") from error

    def _delete_collection(self, name: str) -> None:
        """Remove a collection of whichever version, and its tokens."""
        table: CollectionTokens | None = None
        try:
            table = self._collections.read(name).table
            table.announce_removal(name)
            self._delete_at_server(name)
        except MissingError:
            pass
        except CicoError:
            if table is not None:
                raise
            self._delete_at_server(name)  # of another version: it has none here
        self._collections.drop(name)
        if table is not None:
            table.remove()
        self._collections.remove_left_over()

    def _delete_at_server(self, name: str) -> None:
        request = messages.DeleteCollection(collection_name=name)
        self._client.write(self._client.collections.Delete, request)

    def _await_graph(self, collection: str) -> None:
        """Wait until the server has built what it searches by, for ten minutes at most."""
        give_up, step = time.monotonic() + GREEN_SECONDS, FIRST_STEP
        while True:
            found = self._find(collection)
            if found is None:
                raise no_collection(self.location, collection)
            if found.green or time.monotonic() > give_up:
                return
            time.sleep(step)
            step = min(LONGEST_STEP, 1.5 * step)
