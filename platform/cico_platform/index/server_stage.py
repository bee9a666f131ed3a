"""Staging for an index on a server: any process writes tokens, points and the commit."""

import os
from collections.abc import Sequence
from typing import Any

from cico_platform.index.clips import IndexedClip
from cico_platform.index.server_settings import ServerSettings
from cico_platform.index.staging import Stage, Staged


class ServerStage(Stage):
    """Writes clips of a collection to the server that has it.

    Parameters
    ----------
    url, settings
        As `server.ServerIndex` takes them. The settings go to workers with their key.
    """

    def __init__(self, url: str, settings: ServerSettings, collection: str) -> None:
        self.url, self.settings, self.collection = url, settings, collection
        self._index: Any = None

    def write(self, clips: Sequence[IndexedClip]) -> Staged:
        if self._index is None:
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before gRPC is imported
            from cico_platform.index.server import ServerIndex

            self._index = ServerIndex(self.url, self.settings)
        self._index.upsert(self.collection, clips)
        return Staged()

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ServerStage, (self.url, self.settings, self.collection)
