"""A segment that is open for reading: its offsets and tokens mapped from local files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cico_platform.index.token_store.codecs import Codec, Encoded
from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.files import check_content, check_size
from cico_platform.index.token_store.mapping import Prefetcher, map_array, map_bytes
from cico_platform.index.token_store.records import SegmentInfo

# Pages of a segment are released when about so many bytes of it are mapped into memory.
MOST_MAPPED = 64 << 20
# With a page that is read the system maps those around it.
AROUND = 64 << 10


class OpenSegment:
    """Reads the encoded tokens of rows.

    Parameters
    ----------
    info
        Of the segment.
    codec
        Of the store.
    token_path, offset_path
        Local files. The offsets' checksum is compared, of the tokens the size alone: `verify` reads all.

    Raises
    ------
    FileNotFoundError
        If a file is not there: the store may have been compacted since its manifest was read.
    DamagedFileError
        If a file is not what was written.
    """

    def __init__(self, info: SegmentInfo, codec: Codec, token_path: Path, offset_path: Path) -> None:
        self.info = info
        check_size(token_path, info.token_file)
        check_content(offset_path, info.offset_file)
        if info.offset_file.bytes != 8 * (info.rows + 1):
            raise DamagedFileError(f"'{offset_path}' has {info.offset_file.bytes} bytes for {info.rows} rows")
        if info.token_file.bytes != codec.row_bytes * info.tokens:
            raise DamagedFileError(
                f"'{token_path}' has {info.token_file.bytes} bytes, not {codec.row_bytes} a token"
            )
        self.offsets: NDArray[np.int64] = map_array(offset_path, info.rows + 1, "<i8")
        if self.offsets[0] != 0 or self.offsets[-1] != info.tokens or np.any(np.diff(self.offsets) < 0):
            raise DamagedFileError(f"'{offset_path}' does not hold the offsets of {info.tokens} tokens")
        self.encoded: Encoded = map_bytes(token_path, info.token_file.bytes).reshape(-1, codec.row_bytes)
        self._prefetcher = Prefetcher(self.encoded)
        self._mapped = 0

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many tokens each row has, int64 [n]; 0 for an erased one."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def expect_all_to_be_read(self) -> None:
        """Tell the system that all tokens will be read in their order."""
        self._prefetcher.expect_sequential_reads()

    def copy(self, rows: NDArray[np.int64], out: Encoded, positions: NDArray[np.int64]) -> None:
        """Copy the tokens of rows [n] into `out` [N, row_bytes], those of each from its position [n] on."""
        begins, ends = self.offsets[rows].tolist(), self.offsets[rows + 1].tolist()
        width = out.shape[1]
        for begin, end in zip(begins, ends, strict=True):
            self._prefetcher.prefetch(begin * width, end * width)
        for begin, end, position in zip(begins, ends, positions.tolist(), strict=True):
            out[position : position + end - begin] = self.encoded[begin:end]
        # Threads may count too little together; it is a bound on memory, not an account.
        self._mapped += len(rows) * AROUND + int(out.shape[1]) * int(np.subtract(ends, begins).sum())
        if self._mapped > MOST_MAPPED:
            self._mapped = 0
            self._prefetcher.release()
