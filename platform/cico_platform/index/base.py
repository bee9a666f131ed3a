"""The one interface of every index: embedded in this process, or a server."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa

from cico_platform.errors import InputError
from cico_platform.index.candidates import candidates_for
from cico_platform.index.clips import Filters, Hit, Hits, IndexedClip, Tokens
from cico_platform.index.point_hits import fetched, query_hits
from cico_platform.index.points import Points
from cico_platform.index.server_settings import SCHEMES
from cico_platform.index.staging import Stage, Staged
from cico_platform.index.token_storage import Quantization
from cico_platform.index.token_store.row_numbers import Rows
from cico_platform.storage import Place

COLLECTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
PREVIOUS = ".previous"


class Records(Protocol):
    """JSON objects by name, kept with an index."""

    def read(self) -> dict[str, dict[str, Any]]:
        """All of them."""

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Put one in the place of the one of this name."""

    def delete(self, name: str) -> None:
        """Remove one; one that is not there is no error."""


class VectorIndex(ABC):
    """Collections of clips, each clip one point with a `pooled` vector (`set_encoding`) and its `tokens`.

    A collection is named by its version; an alias names the one that is live.
    """

    location: str
    # So many bytes of tokens should be written at once: small segments of a token store are many files.
    write_bytes: int = 8 << 20
    # Where it keeps what is known of its collections; None: in files of its folder.
    records: Records | None = None

    @abstractmethod
    def create(self, collection: str, dim: int, quantization: Quantization = "none") -> None:
        """Make an empty collection for tokens of width `dim`; one of that width that exists stays.

        `quantization` says how tokens are kept (`token_storage.TokenStorage`).
        """

    @abstractmethod
    def upsert(self, collection: str, clips: Sequence[IndexedClip]) -> None:
        """Add clips, replacing those with the same `video_id`."""

    @abstractmethod
    def stage(self, collection: str) -> Stage:
        """Return a writer of clips that works in any process; its results go to `complete`."""

    @abstractmethod
    def complete(self, collection: str, staged: Staged) -> None:
        """Make staged clips part of the collection, replacing those with the same `video_id`."""

    @abstractmethod
    def settle(self, collection: str) -> None:
        """Remove what writes that were cut have left behind; searches do not see it.

        No other process may write to the collection meanwhile.
        """

    def names(self, collection: str) -> Iterator[pa.Table]:
        """All clips, as tables of `gathering.CLIPS_SCHEMA`: `row`, `video_id`, `clip_key`.

        They are read from files of the token store, and no payload is: a million clips take a second.
        """
        return self.points(collection).tokens().names()

    @abstractmethod
    def delete_rows(self, collection: str, rows: Rows) -> None:
        """Delete clips by the rows that `names` gives; those that are gone are no error."""

    def count(self, collection: str, filters: Filters | None = None) -> int:
        """Number of clips; of those that pass the filters."""
        return self.points(collection).count(filters)

    def size(self, collection: str) -> int:
        """How many clips live in its token store, as far as this process has seen: nothing is asked for."""
        return self.points(collection).tokens().size()

    def candidates(self, collection: str) -> int:
        """How many clips leave the first stage of a search that is told no number (`ranking.Stages`)."""
        return candidates_for(self.size(collection))

    def facets(self, collection: str, field: str, limit: int) -> dict[str, int]:
        """The values of a keyword field of payloads that most clips have, each with its number of clips.

        A clip with several values counts for each. The numbers of a server may be estimates.
        """
        return self.points(collection).facets(field, limit)

    @abstractmethod
    def points(self, collection: str) -> Points:
        """The points of a collection."""

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
        """The nearest clips, best first.

        Parameters
        ----------
        tokens
            float [Q, D] of what is looked for. HNSW finds the clips whose encoding is nearest
            (`set_encoding`), of those that pass the filters.
        candidates
            So many are found in this way, and of them the `limit` best by MaxSim and encoding together are
            returned. Without it, the `limit` nearest by encoding alone.
        with_tokens
            Whether the hits bring theirs.

        Returns
        -------
        Hits
            Each is made, and may read its payload and tokens, when it is looked at.
        """
        return query_hits(self.points(collection), tokens, limit, candidates, filters, with_tokens)

    def fetch(
        self,
        collection: str,
        video_ids: Sequence[str] | None = None,
        *,
        filters: Filters | None = None,
        tokens: bool = False,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Hit]:
        """The clips with these ids (unknown ones are left out), or all that pass the filters.

        Of their payloads only these fields are read, if some are named, and always the `video_id`.
        """
        return fetched(self.points(collection), video_ids, filters, tokens, fields)

    @abstractmethod
    def earlier(self, collection: str) -> Iterator[list[IndexedClip]]:
        """The clips of a collection that the version before wrote (layout 4), page by page."""

    @abstractmethod
    def alias(self, name: str, collection: str | None = None, *, keep: bool = True) -> str | None:
        """The collection that an alias names, None if it names none; moves it, at once, if one is given.

        The collection that goes live is flushed and its HNSW graph built first. In the same stroke, if
        `keep`, the one that was live becomes what `<name>.previous` names (`previous_of`).
        """

    @abstractmethod
    def delete(
        self, collection: str, video_ids: Sequence[str] | None = None, *, filters: Filters | None = None
    ) -> None:
        """Delete clips by id or filters; without either, the whole collection and what names it.

        Clips that are deleted are never found again, but an engine may keep their bytes until it tidies up; a
        whole collection's files are gone.
        """

    @abstractmethod
    def erase_deleted(self, collection: str) -> None:
        """Erase deleted and replaced clips' tokens from files beside the engine, where an index has them.

        An embedded collection keeps them until it is written anew, as `forget` does. No other process may
        write to the collection meanwhile.
        """

    @abstractmethod
    def folders(self, collections: Sequence[str]) -> list[Place]:
        """The folders, or places behind URLs, that hold what these collections hold and can be searched."""

    @abstractmethod
    def close(self) -> None:
        """Write everything down and let go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_url(location: str) -> bool:
    """Whether an index is a server's.

    >>> is_url("grpc://qdrant:6334"), is_url("demo/index")
    (True, False)
    """
    return location.startswith(SCHEMES)


def open_index(location: str, *, must_exist: bool = False) -> VectorIndex:
    """Open the index at a path (embedded) or URL (a Qdrant server, with the settings of the environment).

    Raises
    ------
    InputError
        If `must_exist` and there is no index in the folder, or another process owns it.
    CicoError
        If the server doesn't answer, or refuses the key.
    """
    if is_url(location):
        # Read when gRPC is imported: what its core logs of a failure, our errors say in a sentence.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from cico_platform.index.server import ServerIndex

        return ServerIndex(location)
    from cico_platform.index.embedded import EmbeddedIndex

    return EmbeddedIndex(location, must_exist=must_exist)


def previous_of(alias: str) -> str:
    """The alias of the collection that was live before.

    >>> previous_of("clips")
    'clips.previous'
    """
    return alias + PREVIOUS


def check_name(collection: str) -> str:
    """The name itself, once it is known to be one.

    Raises
    ------
    InputError
        If it could not name a folder.
    """
    if not COLLECTION_NAME.fullmatch(collection):
        raise InputError(f"'{collection}' can't name a collection: use letters, digits, '-', '_' and '.'")
    return collection
