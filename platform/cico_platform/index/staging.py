"""Writing a collection from many processes: each stages its clips; who has the index open completes them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from cico_platform.index.clips import IndexedClip

STAGED_SCHEMA = pa.schema(
    [
        pa.field("names", pa.list_(pa.string())),
        pa.field("segment", pa.string()),
        pa.field("encodings", pa.large_binary()),
        pa.field("payloads", pa.list_(pa.string())),
        pa.field("tokens", pa.list_(pa.binary())),
    ]
)


@dataclass(frozen=True)
class Staged:
    """Clips that a process has worked on, and what is left to do for the process that has the index open.

    Attributes
    ----------
    segment
        What describes the segment of the token store, as JSON; empty where none was written. All else is
        empty, too, where nothing is left to do.
    names, payloads
        Of the clips, in the order of the segment; payloads as JSON.
    encodings
        float16 [clips, size] (`set_encoding.point_vectors`), as bytes.
    tokens
        float16 [T, D] of each clip, as bytes, of a process that does not see the token store.
    """

    segment: str = ""
    names: tuple[str, ...] = ()
    encodings: bytes = b""
    payloads: tuple[str, ...] = ()
    tokens: tuple[bytes, ...] = ()

    def row(self) -> dict[str, Any]:
        """It as a row of `STAGED_SCHEMA`."""
        return vars(self).copy()

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """What `row` returned."""
        lists = {name: tuple(row[name]) for name in ("names", "payloads", "tokens")}
        return cls(row["segment"], encodings=row["encodings"], **lists)


class Stage(ABC):
    """Writes clips of one collection, in any process: it is small and can be pickled."""

    @abstractmethod
    def write(self, clips: Sequence[IndexedClip]) -> Staged:
        """Do all of the work that costs time.

        The clips may have been written before, as after a cut: `VectorIndex.complete` replaces them. What is
        never completed is not seen by readers, and `VectorIndex.settle` removes it.

        Raises
        ------
        CicoError
            If a clip cannot be written; none of them is then.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of what writing has opened."""
