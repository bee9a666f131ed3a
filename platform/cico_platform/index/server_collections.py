"""What a client knows of a server's collections: where their tokens are, and what the server allows."""

import logging
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import value_to_json

from cico_platform.errors import CicoError
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.server_client import ServerClient, UnreachableError
from cico_platform.index.server_settings import PREFIX
from cico_platform.index.set_encoding import EARLIER
from cico_platform.index.token_storage import Quantization
from cico_platform.index.token_store.cache import SegmentCache
from cico_platform.index.token_store.store_files import DEFAULT_CACHE
from cico_platform.storage import Place, absolute, absolute_place, cache_folder, is_remote, place

# In a collection's metadata: how it is laid out, and where its tokens are.
ABOUT, SERVER_LAYOUT = "cico", 1
KNOWN_SECONDS = 5.0
UNBOUNDED = 1 << 31


@dataclass(frozen=True)
class Limits:
    """What strict mode allows; everything where it is not on.

    Attributes
    ----------
    points, values, upserts
        Points of an answer, values of a condition, and points of an upsert.
    seconds
        Time-out of a request.
    oversampling
        Of quantised vectors.
    exact
        Whether points may be counted exactly.
    """

    points: int = UNBOUNDED
    values: int = UNBOUNDED
    upserts: int = UNBOUNDED
    seconds: int = UNBOUNDED
    oversampling: float = float("inf")
    exact: bool = True

    @classmethod
    def of(cls, strict: Any) -> "Limits":
        """Those of a collection's `StrictModeConfig`."""
        if not strict.enabled:
            return cls()
        names = {
            "points": "max_query_limit",
            "values": "condition_max_size",
            "upserts": "upsert_max_batchsize",
            "seconds": "max_timeout",
            "oversampling": "search_max_oversampling",
            "exact": "search_allow_exact",
        }
        return cls(**{ours: getattr(strict, its) for ours, its in names.items() if strict.HasField(its)})


@dataclass(frozen=True)
class ServerCollection:
    """A collection of a server, as it was a moment ago.

    Attributes
    ----------
    table
        What reads and writes the tokens in their folder.
    indexed
        Fields of the payload that have an index.
    green
        Whether the server has built all that it searches by.
    read_at
        When it was read, of a monotonic clock.
    """

    name: str
    dim: int
    table: CollectionTokens
    limits: Limits
    indexed: frozenset[str]
    green: bool
    read_at: float

    def bounded(self, limit: int) -> int:
        """As many points as are wanted, or as strict mode allows."""
        if limit > self.limits.points:
            logging.getLogger(__name__).warning(
                "the server's strict mode gives %d candidates of '%s', not %d: right answers may be missed",
                self.limits.points,
                self.name,
                limit,
            )
        return min(limit, self.limits.points)

    def tokens(self) -> CollectionTokens:
        """Its tokens, once they are known to be here.

        Raises
        ------
        CicoError
            If they are not on this machine.
        """
        if not self.table.exists():
            raise CicoError(
                f"the tokens of collection '{self.name}' are not at '{self.table.folder}' on this machine; "
                "mount the folder that they were written to, and give the one that it is in as "
                f"{PREFIX}TOKENS"
            )
        return self.table


class ServerCollections:
    """Reads and remembers what collections of a server are."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client
        self._known: dict[str, ServerCollection] = {}
        self._segments: SegmentCache | None = None

    def read(self, name: str) -> ServerCollection:
        """The collection as it is now.

        Raises
        ------
        MissingError
            If there is none.
        CicoError
            If another version or another program made it.
        """
        self._known.pop(name, None)
        request = messages.GetCollectionInfoRequest(collection_name=name)
        info = self._client.read(self._client.collections.Get, request).result
        about = _about(info)
        if about.get("layout") != SERVER_LAYOUT:
            raise CicoError(
                f"collection '{name}' at {self._client.url} was not built by cico, or by {EARLIER}"
            )
        found = ServerCollection(
            name,
            int(about["dim"]),
            self._table(about),
            Limits.of(info.config.strict_mode_config),
            frozenset(info.payload_schema),
            info.status == messages.CollectionStatus.Green,
            time.monotonic(),
        )
        self._known[name] = found
        return found

    def get(self, name: str) -> ServerCollection:
        """The collection as it was at most some seconds ago; errors as of `read`."""
        known = self._known.get(name)
        if known is not None and time.monotonic() - known.read_at < KNOWN_SECONDS:
            return known
        new = self.read(name)
        if known is not None and str(known.table.folder) == str(
            new.table.folder
        ):  # its tokens are mapped already
            new = ServerCollection(**{**vars(new), "table": known.table})
            self._known[name] = new
        return new

    def drop(self, name: str) -> None:
        """Know nothing of a collection any more."""
        self._known.pop(name, None)

    def remove_left_over(self) -> None:
        """Remove the tokens of collections that are gone, also of those whose removal was cut."""
        home = self._home()
        try:
            folders: list[Place] = [home / each.name for each in home.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return
        for folder in sorted(folders, key=str):
            table = CollectionTokens(folder, 0)
            name = table.announced()
            if name is not None and not self._has(name, folder):
                table.remove()

    def _has(self, name: str, folder: Place) -> bool:
        try:
            return str(self.read(name).table.folder) == str(folder)
        except UnreachableError:
            raise
        except CicoError:  # there is none, or one of another version
            return False

    def described(self, name: str, dim: int, quantization: Quantization) -> dict[str, Any]:
        """What the metadata of a new collection says."""
        folder = f"{name}-{uuid.uuid4().hex[:8]}"
        about = {
            "layout": SERVER_LAYOUT,
            "dim": dim,
            "quantization": quantization,
            "tokens": absolute(self._home() / folder),
        }
        return {ABOUT: about}

    def _table(self, about: dict[str, Any]) -> CollectionTokens:
        folder = self._folder(about)
        cache = self._cache() if is_remote(folder) else None
        return CollectionTokens(folder, int(about["dim"]), about["quantization"], cache)

    def _home(self) -> Place:
        """The folder of the folders of tokens that this process makes."""
        given = self._client.settings.tokens
        if given is not None:
            return absolute_place(place(given) if "://" in given else Path(given).expanduser())
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        address = self._client.address
        server = f"{address.host}-{address.port}".replace(":", "_")
        return Path(data).expanduser().absolute() / "cico" / "tokens" / server

    def _folder(self, about: dict[str, Any]) -> Place:
        """Where its tokens are: where they were written, or below the folder of the settings."""
        written = place(about["tokens"])
        if self._client.settings.tokens is None:
            return written
        here = self._home() / written.name
        if is_remote(here) or is_remote(written):
            return here
        return here if here.is_dir() or not written.is_dir() else written

    def _cache(self) -> SegmentCache | None:
        """Where copies of tokens behind a URL are kept, if the settings say it."""
        settings = self._client.settings
        if self._segments is None and (settings.token_cache or settings.token_cache_bytes):
            folder = Path(settings.token_cache or cache_folder() / DEFAULT_CACHE).expanduser()
            self._segments = SegmentCache(folder, settings.token_cache_bytes)
        return self._segments


def _about(info: messages.CollectionInfo) -> dict[str, Any]:
    if ABOUT not in info.config.metadata:
        return {}
    about: dict[str, Any] = value_to_json(info.config.metadata[ABOUT])
    return about
