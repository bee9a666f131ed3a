"""The points of one collection, in whichever engine: encodings, payloads and filters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import CicoError
from cico_platform.index.clips import Filters, IndexedClip, Payload, Tokens
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.token_store.row_numbers import Rows, as_rows

VIDEO_ID = "video_id"
# Which fields of payloads are read: these and the name of the clip, or all of them.
Fields = Sequence[str] | Literal["all"]


class Record(NamedTuple):
    """A point's id, which is its clip's row in the token store, and what was read of its payload."""

    row: int
    payload: Payload


class Found(NamedTuple):
    """Points that a query found, best first.

    Attributes
    ----------
    rows
        Their ids, uint64 [n].
    scores
        float32 [n].
    names
        Their clips, where the query asked for them.
    """

    rows: Rows
    scores: NDArray[np.float32]
    names: list[str] | None = None

    def only(self, chosen: NDArray[np.bool_]) -> "Found":
        """Those of the points that are chosen, bool [n]."""
        if chosen.all():
            return self
        names = self.names
        kept = None if names is None else [names[i] for i in np.flatnonzero(chosen)]
        return Found(self.rows[chosen], self.scores[chosen], kept)


class Points(ABC):
    """Reads and writes the points of one collection.

    Attributes
    ----------
    name
        Of the collection.
    """

    name: str

    @abstractmethod
    def tokens(self) -> CollectionTokens:
        """The collection's tokens; an error where they are not on this machine."""

    @abstractmethod
    def count(self, filters: Filters | None) -> int:
        """Number of points that pass the filters."""

    @abstractmethod
    def facets(self, field: str, limit: int) -> dict[str, int]:
        """The values of a keyword field that most points have, each with its number of points."""

    @abstractmethod
    def nearest(self, tokens: Tokens, limit: int, filters: Filters | None, names: bool) -> Found:
        """The points whose encoding is nearest to the tokens' [Q, D], of those that pass the filters."""

    @abstractmethod
    def scroll(self, filters: Filters | None, fields: Fields) -> Iterator[list[Record]]:
        """All points that pass the filters, page by page."""

    @abstractmethod
    def rows(self, filters: Filters | None) -> Rows:
        """The ids of all points that pass the filters."""

    @abstractmethod
    def of_clips(self, video_ids: Sequence[str], fields: Fields) -> Iterator[list[Record]]:
        """The points of these clips, in any order."""

    @abstractmethod
    def payloads(self, rows: Sequence[int]) -> dict[int, Payload]:
        """What these points hold beside vectors; those that are gone are left out."""

    @abstractmethod
    def existing(self, rows: Rows) -> int:
        """How many of these points there are."""

    @abstractmethod
    def make(self, clips: Sequence[IndexedClip]) -> Any:
        """The clips as this engine takes them, still without ids.

        Raises
        ------
        CicoError
            If one cannot be written.
        """

    @abstractmethod
    def upsert(self, made: Any, rows: Rows) -> None:
        """Write what `make` returned, with these ids."""

    @abstractmethod
    def delete_rows(self, rows: Rows) -> None:
        """Delete the points of these rows; those that are gone are no error."""

    def living(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each point's row holds a living clip, bool [n].

        Raises
        ------
        CicoError
            If the tokens of a point that the engine has are not in the folder.
        """
        living = self.tokens().lives(rows)
        self.expect_dead(rows[~living])
        return living

    def only_living(self, records: Sequence[Record]) -> list[Record]:
        """Those of the points whose rows hold living clips; errors as of `living`."""
        rows = as_rows([record.row for record in records])
        return [record for record, lives in zip(records, self.living(rows).tolist(), strict=True) if lives]

    def expect_dead(self, rows: Rows) -> None:
        """Check that rows which do not live are dead, or wait for their commit.

        Raises
        ------
        CicoError
            If one is not in the folder, and the engine still has its point.
        """
        if not len(rows):
            return
        table = self.tokens()
        held = self.existing(rows[table.lost(rows)])
        if held:
            raise CicoError(
                f"the tokens of {held} points of collection '{self.name}' are not in '{table.folder}': "
                "it is an older copy; index again, or copy it anew"
            )
