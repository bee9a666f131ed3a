"""The three files of a segment while they are written: encoded rows in, a finished segment out."""

from array import array
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.index.token_store.codecs import Encoded
from cico_platform.index.token_store.files import HashedFile, publish, put, said_plainly, scratch
from cico_platform.index.token_store.id_table import write_ids
from cico_platform.index.token_store.records import SEGMENTS, Layout, RowRange, SegmentInfo, StoredFile
from cico_platform.storage import Place

TOKENS_SUFFIX, OFFSETS_SUFFIX, IDS_SUFFIX = ".tokens", ".offsets", ".ids.arrow"


class SegmentOutput:
    """Streams a segment to temporary files; nothing is left of them unless it is finished.

    Parameters
    ----------
    place
        The store.
    layout
        Of the store.
    """

    def __init__(self, place: Place, layout: Layout) -> None:
        self.place, self.layout, self.tokens = place, layout, 0
        self._ends = array("q", [0])
        self._stack = ExitStack()
        with said_plainly(place, "a token segment cannot be written to"):
            self._prefix: Path = self._stack.enter_context(scratch(place))
            self._token_file = self._open(TOKENS_SUFFIX)

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return len(self._ends) - 1

    def add(self, lengths: NDArray[np.integer], encoded: Encoded) -> None:
        """Append rows of so many tokens, 0 for an erased one, and the tokens of all, uint8 [N, row_bytes]."""
        with said_plainly(self.place, "a token segment cannot be written to"):
            if len(encoded):
                self._token_file.write(np.ascontiguousarray(encoded).data.cast("B"))
        ends = self.tokens + np.cumsum(lengths, dtype=np.int64)
        self._ends.frombytes(ends.tobytes())
        self.tokens += len(encoded)

    def finish(self, name: str, ranges: tuple[RowRange, ...], ids: pa.Table) -> SegmentInfo:
        """Move the files to their places, the one that describes them last.

        Files are named by their checksums: two attempts at one segment whose tokens differ in their last bits
        cannot end with files of both.
        """
        with said_plainly(self.place, "a token segment cannot be written to"):
            offsets = self._open(OFFSETS_SUFFIX)
            offsets.write(memoryview(self._ends).cast("B"))
            table = self._open(IDS_SUFFIX)
            write_ids(ids, table)
            parts = {
                TOKENS_SUFFIX: self._token_file,
                OFFSETS_SUFFIX: offsets,
                IDS_SUFFIX: table,
            }
            files: dict[str, StoredFile] = {}
            for suffix, part in parts.items():
                files[suffix] = part.finish(name, suffix)
                publish(part.path, self.place / SEGMENTS / files[suffix].name)
            info = SegmentInfo(
                name=name,
                layout=self.layout,
                tokens=self.tokens,
                ranges=ranges,
                token_file=files[TOKENS_SUFFIX],
                offset_file=files[OFFSETS_SUFFIX],
                id_file=files[IDS_SUFFIX],
            )
            put(self.place / SEGMENTS / info.info_name, info.model_dump_json().encode())
        self.close()
        return info

    def close(self) -> None:
        """Remove the temporary files."""
        self._stack.close()

    def _open(self, suffix: str) -> HashedFile:
        path = self._prefix.with_name(f"{self._prefix.name}{suffix}.partial")
        return self._stack.enter_context(HashedFile(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
