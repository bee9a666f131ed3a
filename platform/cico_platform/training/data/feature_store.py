"""The feature store: a corpus' sign features in one memory-mapped half-precision file, read by index.

Nothing is loaded when a store is opened but an offset a clip. Processes that map the same store share its
pages. The features of two encoders are stored apart and mixed when they are read, so that one store serves
every alpha (method 4).
"""

import mmap
import warnings
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_platform.encoding.mixing import mix_tensors
from cico_platform.encoding.windows import read_windows
from cico_platform.errors import CicoError
from cico_platform.training.data.feature_rows import Array, Indices, padded
from cico_platform.training.data.feature_store_files import (
    CHECKSUMS,
    FEATURES,
    HEADER_FILE,
    ID_OFFSETS,
    IDS,
    OFFSETS,
    STARTS,
    Header,
    mapped,
    mapped_array,
    read_header,
)

# Videos of equal length have equal windows: few different ones are thinned again and again.
THINNED = 4096


class FeatureStore:
    """A store that is open for reading.

    Parameters
    ----------
    folder
        Where `make_store` has written it.

    Raises
    ------
    DamagedStoreError
        If it is not whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header: Header = read_header(folder)
        self.offsets: NDArray[np.int64] = mapped_array(folder / OFFSETS, np.int64)
        self._starts: NDArray[np.int32] = mapped_array(folder / STARTS, np.int32)
        self._checksums: NDArray[np.uint32] = mapped_array(folder / CHECKSUMS, np.uint32)
        self._map = mapped(folder / FEATURES)
        with warnings.catch_warnings():
            # The map can't be written to. What leaves this class is a copy.
            warnings.simplefilter("ignore", UserWarning)
            values = np.frombuffer(self._map, dtype=np.float16)
            self._values: Tensor = torch.from_numpy(values).view(-1, self.header.dim)
        self._checked = np.zeros(len(self), dtype=bool)

    def __len__(self) -> int:
        return self.header.clips

    def video_ids(self) -> pa.LargeStringArray:
        """Return the clips' names by row: a view of the mapped file."""
        buffers = [pa.py_buffer(mapped(self.folder / name)) for name in (ID_OFFSETS, IDS)]
        return pa.LargeStringArray.from_buffers(len(self), *buffers)

    def starts(self, row: int) -> NDArray[np.int32]:
        """Return the first frames of a clip's windows, int32 [W]: a view of the mapped file."""
        return self._starts[self.offsets[row] : self.offsets[row + 1]]

    def read(self, row: int) -> Tensor:
        """Return a clip's features, float16 [E, W, F]: a view of the mapped file, which can't be written to.

        Raises
        ------
        CicoError
            If the clip is not what was written. The store is then marked, and made anew by the next run.
        """
        first, last = int(self.offsets[row]), int(self.offsets[row + 1])
        count = len(self.header.encoders)
        values = self._values[count * first : count * last]
        if not self._checked[row]:
            self._check(row, values)
        return values.view(count, last - first, self.header.dim)

    def prefetch(self, rows: Indices) -> None:
        """Ask the system to read these clips ahead; returns at once."""
        if not isinstance(self._map, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
            return
        width = 2 * self.header.dim * len(self.header.encoders)
        for row in rows:
            first, last = int(self.offsets[row]) * width, int(self.offsets[row + 1]) * width
            begin = first - first % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, begin, last - begin)

    def _check(self, row: int, values: Tensor) -> None:
        found = clip_checksum(self.starts(row), values.numpy())
        if found != int(self._checksums[row]):
            (self.folder / HEADER_FILE).unlink(missing_ok=True)
            name = self.video_ids()[row].as_py()
            raise CicoError(
                f"the features of '{name}' in '{self.folder}' are not what was written; "
                "the same command makes this copy of the features again"
            )
        self._checked[row] = True


def clip_checksum(starts: NDArray[np.int32], values: Array) -> int:
    """Return the CRC-32 of a clip's window starts and features."""
    return zlib.crc32(np.ascontiguousarray(values).data, zlib.crc32(np.ascontiguousarray(starts).data))


class StoredRows:
    """Videos of a store: their mixed features, of the windows that a model of some stride reads.

    Parameters
    ----------
    store
        Is shared, not copied.
    rows
        Row of each video in the store.
    shares
        Each encoder's share, in the store's order.
    stride
        Frames from one window to the next; 1 takes all that are stored (`cico_platform.encoding.windows`).
    """

    def __init__(
        self,
        store: FeatureStore,
        rows: NDArray[np.int64],
        shares: Sequence[float] = (1.0,),
        stride: int = 1,
    ) -> None:
        self.store, self.rows, self.stride = store, np.asarray(rows, dtype=np.int64), stride
        self.shares = tuple(shares)
        self._used = [(encoder, share) for encoder, share in enumerate(self.shares) if share]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Array:
        mixed: Array = self._mixed(int(self.rows[index])).clone().numpy()
        return mixed

    def windows(self, indices: Indices | None = None) -> NDArray[np.int64]:
        """Return the number of windows of these videos, or of all."""
        rows = self.rows if indices is None else self.rows[np.asarray(indices, dtype=np.int64)]
        if self.stride == 1:
            return np.asarray(self.store.offsets[rows + 1] - self.store.offsets[rows])
        return np.array([len(self._kept(int(row))) for row in rows], dtype=np.int64)

    def batch(self, indices: Indices, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Return features padded with zeros, float32 [B, T, F], and valid, bool [B, T]."""
        counts = self.windows(indices)
        values, valid = padded(len(counts), length or int(counts.max()), self.store.header.dim)
        for place, (index, count) in enumerate(zip(indices, counts.tolist(), strict=True)):
            values[place, :count] = self._mixed(int(self.rows[index]))
            valid[place, :count] = True
        return values, valid

    def take(self, indices: Indices) -> "StoredRows":
        """Return these videos, in this order."""
        return StoredRows(
            self.store, self.rows[np.asarray(indices, dtype=np.int64)], self.shares, self.stride
        )

    def prefetch(self, indices: Indices) -> None:
        """Ask the system to read these videos ahead; returns at once."""
        self.store.prefetch(self.rows[np.asarray(indices, dtype=np.int64)])

    def _mixed(self, row: int) -> Tensor:
        """A video's features, float16 [W, F]; without a mix, a view of the mapped file."""
        stored = self.store.read(row)
        if self.stride > 1:
            stored = stored[:, list(self._kept(row))]
        return mix_tensors([stored[encoder] for encoder, _ in self._used], [share for _, share in self._used])

    def _kept(self, row: int) -> tuple[int, ...]:
        return _thinned(self.store.starts(row).tobytes(), self.stride)


@lru_cache(maxsize=THINNED)
def _thinned(starts: bytes, stride: int) -> tuple[int, ...]:
    return tuple(read_windows(np.frombuffer(starts, np.int32).tolist(), stride))
