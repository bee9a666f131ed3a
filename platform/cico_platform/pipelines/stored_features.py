"""Sign features as they are stored: shards of two encoders, mixed when they are read (method 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from cico_platform.encoding.mixing import mix_features, shares_of
from cico_platform.encoding.windows import read_windows
from cico_platform.errors import InputError
from cico_platform.schemas.features import FEATURES_SCHEMA as FEATURES_SCHEMA
from cico_platform.schemas.features_info import INFO_FILE as INFO_FILE
from cico_platform.schemas.features_info import FeaturesInfo
from cico_platform.shard_output import attempt
from cico_platform.storage import Place, matching, place, read_table

Array = NDArray[np.float16]
# Of what is stored, and of the frames that decoding gives: features of another one are computed anew.
FEATURES_EDITION = 3


@dataclass(frozen=True)
class Features:
    """Sign features of videos, one place a video in each list.

    Attributes
    ----------
    video_ids
        In alphabetical order.
    window_starts
        int32 [W]: first frame of each window.
    values
        float16 [W, F].
    dim
        F.
    alpha
        The first encoder's share in `values`; 1 where there is but one.
    window_times
        float64 [W, 2]: begin and end of each window, in seconds from the clip's start; empty [0, 2] where an
        earlier version has not stored them.
    """

    video_ids: list[str]
    window_starts: list[NDArray[np.int32]]
    values: list[Array]
    dim: int
    alpha: float
    window_times: list[NDArray[np.float64]]

    def select(self, video_ids: list[str]) -> "Features":
        """These videos only, in this order; those without features are left out."""
        place = {name: i for i, name in enumerate(self.video_ids)}
        rows = [place[name] for name in video_ids if name in place]
        return Features(
            [self.video_ids[i] for i in rows],
            [self.window_starts[i] for i in rows],
            [self.values[i] for i in rows],
            self.dim,
            self.alpha,
            [self.window_times[i] for i in rows],
        )

    def strided(self, stride: int) -> "Features":
        """The windows that stand for those at this stride (`cico_model.clips.thin_windows`)."""
        if stride == 1:
            return self
        kept = [read_windows(starts.tolist(), stride) for starts in self.window_starts]
        return replace(
            self,
            window_starts=[starts[rows] for starts, rows in zip(self.window_starts, kept, strict=True)],
            values=[value[rows] for value, rows in zip(self.values, kept, strict=True)],
            window_times=[
                times[rows] if len(times) else times
                for times, rows in zip(self.window_times, kept, strict=True)
            ],
        )


@dataclass(frozen=True)
class Mix:
    """Each encoder's share of the mixed features, by its id; the first one's alone; the features' width."""

    shares: dict[str, float]
    alpha: float
    dim: int


def load_features(folder: str | Place, alpha: float | None = None) -> Features:
    """Read features, those of two encoders mixed as `alpha * first + (1 - alpha) * second` (method 4).

    Parameters
    ----------
    alpha
        The first encoder's share; None takes the one that the features were extracted with.

    Raises
    ------
    InputError
        If the folder holds no features.
    """
    mix = read_mix(folder, alpha)
    shards = [read_shard(path, mix) for path in feature_shards(folder)]
    joined = Features(
        [name for shard in shards for name in shard.video_ids],
        [starts for shard in shards for starts in shard.window_starts],
        [values for shard in shards for values in shard.values],
        mix.dim,
        mix.alpha,
        [times for shard in shards for times in shard.window_times],
    )
    return joined.select(sorted(joined.video_ids))


def feature_shards(folder: str | Place) -> list[Place]:
    """The shards of a feature folder, in order."""
    home = place(folder)
    return attempt(home, lambda: matching(home, "part-*.parquet"))


def read_mix(folder: str | Place, alpha: float | None = None) -> Mix:
    """How the features of a folder are mixed; None takes the alpha that they were extracted with."""
    info = read_info(folder)
    ids = [encoder.id for encoder in info.encoders]
    alpha = 1.0 if len(ids) == 1 else info.alpha if alpha is None else alpha
    shares = dict.fromkeys(ids, 0.0)
    for name, share in zip(ids, shares_of(len(ids), alpha), strict=True):
        shares[name] += share
    return Mix(shares, alpha, info.dim)


def read_shard(path: str | Place, mix: Mix) -> Features:
    """The mixed features of one shard; a video's encoders are always in the same."""
    return mixed_features(read_table(place(path)), mix)


def mixed_features(table: pa.Table, mix: Mix) -> Features:
    """The mixed features of rows of `FEATURES_SCHEMA` that hold each of their videos by all encoders."""
    times: dict[str, NDArray[np.float64]] = {}
    starts: dict[str, NDArray[np.int32]] = {}
    values: dict[str, dict[str, Array]] = {}
    for row in range(table.num_rows):
        name = table["video_id"][row].as_py()
        flat = table["features"][row].values.to_numpy(zero_copy_only=False)
        values.setdefault(name, {})[table["encoder_id"][row].as_py()] = flat.reshape(-1, mix.dim)
        starts[name] = table["window_starts"][row].values.to_numpy()
        times[name] = _times_of(table, row)
    shares = list(mix.shares.values())
    mixed = [mix_features([own[encoder] for encoder in mix.shares], shares) for own in values.values()]
    return Features(list(values), list(starts.values()), mixed, mix.dim, mix.alpha, list(times.values()))


def flat_spans(spans: Sequence[tuple[float, float]]) -> list[float]:
    """Begins and ends of windows in turn, as they are stored."""
    return [time for span in spans for time in span]


def _times_of(table: pa.Table, row: int) -> NDArray[np.float64]:
    known = table["window_times"][row].values if "window_times" in table.column_names else None
    flat = np.zeros(0) if known is None else known.to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float64).reshape(-1, 2)


def read_info(folder: str | Place) -> FeaturesInfo:
    """Read how the features of a folder were computed.

    Raises
    ------
    InputError
        If the folder holds no features.
    """
    path = place(folder) / INFO_FILE
    if not path.is_file():
        raise InputError(f"'{folder}' holds no features; make them with 'cico features'")
    try:
        return FeaturesInfo.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"'{path}' does not describe features: {where}: {first['msg']}; run 'cico features' again"
        ) from error
