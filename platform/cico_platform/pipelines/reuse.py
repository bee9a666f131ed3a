"""Features that an earlier run stored: the driver finds where they are, the workers read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from cico_model.sign_encoder import SignOutput
from cico_platform.pipelines.decode import SHORTCOMINGS
from cico_platform.pipelines.parts import read_ledger
from cico_platform.storage import Place, absolute, matching, place, read_table

Row = dict[str, Any]
# Shards that a worker keeps open; their clips come in the order in which they were written.
SHARDS_HELD = 4
COLUMNS = ("window_starts", "window_times", "dim", "features", *SHORTCOMINGS)


@dataclass(frozen=True)
class StoredFeatures:
    """Features of one clip by one encoder: first frames and times of the windows, and float16 [W, F].

    `shortcomings` says whether the clip was `truncated` and `short`.
    """

    starts: list[int]
    times: list[float]
    values: NDArray[np.float16]
    shortcomings: dict[str, bool]

    def output(self) -> SignOutput:
        """The features as an encoder's output; the class scores were not stored."""
        return SignOutput(torch.empty(len(self.starts), 0), torch.from_numpy(self.values))


def find_stored(
    folders: Sequence[str | Place], encoders: Sequence[str], encoding: str, keys: Mapping[str, str]
) -> dict[str, list[str]]:
    """Find the features that need not be computed again.

    Parameters
    ----------
    folders
        Outputs of `cico features` or `cico mine`, finished or not. One that does not exist holds nothing.
    encoders
        Fingerprints of the sign encoders.
    encoding
        From `EncodingSettings.encoding`: features that were computed otherwise do not count.
    keys
        Each clip's `clip_key`: features of a clip that has changed since do not count.

    Returns
    -------
    dict
        By `video_id`, one address an encoder, "" where there are no features; clips without any are left out.
    """
    number = {name: index for index, name in enumerate(encoders)}
    found: dict[str, list[str]] = {}
    for folder in folders:
        ledger = read_ledger(place(folder))
        if ledger.encoding != encoding:
            continue
        for shard in _shards(place(folder)):
            table = read_table(shard, ["video_id", "encoder_id"])
            pairs = zip(table["video_id"].to_pylist(), table["encoder_id"].to_pylist(), strict=True)
            for row, (clip, encoder) in enumerate(pairs):
                if encoder in number and clip in keys and ledger.keys.get(clip) == keys[clip]:
                    own = found.setdefault(clip, [""] * len(encoders))
                    own[number[encoder]] = f"{absolute(shard)}#{row}"
    return found


def mark_stored(rows: Sequence[Row], stored: Mapping[str, list[str]], encoders: int) -> list[Row]:
    """Rows for `encode_clips` that say where features are stored, and whether the clip must be decoded."""
    marked = []
    for row in rows:
        own = stored.get(row["video_id"], [""] * encoders)
        marked.append({**row, "stored": own, "decode": not all(own)})
    return marked


class StoredReader:
    """Reads stored features in a worker."""

    def __init__(self) -> None:
        self._table = lru_cache(maxsize=SHARDS_HELD)(_read)

    def __call__(self, address: str) -> StoredFeatures | None:
        """The features at an address of `find_stored`; None for ""."""
        if not address:
            return None
        shard, _, row = address.rpartition("#")
        table = self._table(shard)
        starts, times, dim, flat, *lacks = (table[name][int(row)] for name in COLUMNS)
        values = flat.values.to_numpy(zero_copy_only=False).reshape(-1, dim.as_py())
        told = {name: bool(lack.as_py()) for name, lack in zip(SHORTCOMINGS, lacks, strict=True)}
        return StoredFeatures(starts.as_py(), times.as_py(), np.array(values, dtype=np.float16), told)


def _read(shard: str) -> pa.Table:
    return read_table(place(shard), COLUMNS)


def _shards(folder: Place) -> list[Place]:
    return [*matching(folder, "part-*.parquet"), *matching(folder, "tail-*.parquet")]
