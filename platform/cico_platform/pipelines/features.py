"""Features: the sign features of the windows that retrieval uses, by every encoder, from one decode."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from cico_model.config import MAX_WINDOWS, SignEncoderConfig
from cico_model.sign_encoder import SignOutput
from cico_platform.cluster import connect
from cico_platform.corpus.clip_keys import clip_keys
from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import InputError
from cico_platform.pipelines.decode import source_rows
from cico_platform.pipelines.encoders import (
    EncodingSettings,
    calibration_windows,
    encode_clips,
    read_encoders,
)
from cico_platform.pipelines.parts import Parts, collect, settle
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, earlier_outputs, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute, matching, place, read_table

Row = dict[str, Any]
Array = NDArray[np.float16]
STAGE = "features"
INFO_FILE = "features.json"
DEFAULT_ALPHA = 0.8
FEATURES_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("encoder_id", pa.string(), nullable=False),
        pa.field("window_starts", pa.list_(pa.int32()), nullable=False),
        pa.field("dim", pa.int32(), nullable=False),
        pa.field("features", pa.list_(pa.float16()), nullable=False),
    ]
)

# What leaves an encoder actor: a clip's float16 features as bytes, one entry an encoder.
ENCODED_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("error", pa.string()),
        pa.field("windows", pa.int32()),
        pa.field("window_starts", pa.list_(pa.int32())),
        pa.field("features", pa.list_(pa.binary())),
    ]
)


class FeatureSettings(EncodingSettings):
    """How features are extracted.

    Attributes
    ----------
    windows
        Most windows of a video, spread evenly; the towers take 64.
    """

    windows: int = Field(default=MAX_WINDOWS, ge=1)

    def decisive(self) -> dict[str, Any]:
        """The settings that change what comes out."""
        return {**super().decisive(), "windows": self.windows}


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
    """

    video_ids: list[str]
    window_starts: list[NDArray[np.int32]]
    values: list[Array]
    dim: int
    alpha: float

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
        )


@dataclass(frozen=True)
class Mix:
    """Each encoder's share of the mixed features, by its id; the first one's alone; the features' width."""

    shares: dict[str, float]
    alpha: float
    dim: int


def extract_features(
    corpus: str | Place,
    encoders: Sequence[str | Place],
    alpha: float | None,
    out: str | Place,
    settings: FeatureSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Extract the features of every sentence clip.

    Writes shards `part-*.parquet`, a row a video and encoder: `video_id, encoder_id, window_starts, dim,
    features` (float16, row after row). `features.json` names the encoders and alpha, `clips.parquet` each
    clip's outcome. Clips that `out` holds already, from the same encoders and settings, are not done again.

    Parameters
    ----------
    encoders
        Checkpoints of one or two sign encoders: domain-agnostic first, then domain-aware.
    alpha
        The first one's share when the features of two are mixed, 0.8 if None. The features are stored
        unmixed: `load_features` may mix them anew.

    Raises
    ------
    InputError
        If there is nothing to encode, the encoders don't fit together, or alpha is no share.
    """
    settings, source = settings or FeatureSettings(), Corpus(corpus)
    alpha = DEFAULT_ALPHA if alpha is None else alpha
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"alpha is the first encoder's share, between 0 and 1, not {alpha}")
    if len(encoders) > 2:
        raise InputError(f"features come from one or two encoders, not {len(encoders)}")
    clips = source.clips(labelled=False)
    if not clips:
        raise InputError(f"'{corpus}' has no sentence clips; 'cico corpus compose' makes some")
    config, _ = read_encoders(encoders)
    ids = [fingerprint(folder) for folder in encoders]
    keys = clip_keys(source, clips)
    recipe = settings.recipe(STAGE, ids, keys)
    key = content_key(recipe=recipe, clips=keys, alpha=alpha)

    def body(folder: Place) -> Summary:
        connect()
        parts = Parts(folder, FEATURES_SCHEMA, recipe, keys)
        for earlier in earlier_outputs(out, folder):
            parts.take_over(earlier)
        encoded = encode_clips(
            parts.pending(source_rows(source, clips)),
            config,
            settings,
            folders=[absolute(path) for path in encoders],
            describe=describe_features,
            schema=ENCODED_SCHEMA,
            limit=settings.windows,
            calibration=calibration_windows(source, clips, config, settings.precision),
        )
        collect(encoded, parts, lambda row: _rows(row, ids, config), on_progress)
        counts = settle(parts, source, STAGE)
        _write_info(folder, source, [absolute(path) for path in encoders], ids, alpha, config)
        return Summary(**counts, details={"encoders": len(ids), "dim": config.feature_dim})

    return run_step(out, STAGE, key, body)


def describe_features(row: Row, outputs: list[SignOutput]) -> Row:
    """A clip's features as bytes of float16, one entry an encoder."""
    features = [] if row["error"] else [np.asarray(o.embedding, dtype=np.float16).tobytes() for o in outputs]
    kept = {name: row[name] for name in ("video_id", "path", "error", "window_starts")}
    return {**kept, "windows": len(row["window_starts"]), "features": features}


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
    rows = sorted(
        (
            row
            for shard in shards
            for row in zip(shard.video_ids, shard.window_starts, shard.values, strict=True)
        ),
        key=lambda row: row[0],
    )
    return Features([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], mix.dim, mix.alpha)


def feature_shards(folder: str | Place) -> list[Place]:
    """The shards of a feature folder, in order."""
    return matching(place(folder), "part-*.parquet")


def read_mix(folder: str | Place, alpha: float | None = None) -> Mix:
    """How the features of a folder are mixed; None takes the alpha that they were extracted with."""
    info = read_info(folder)
    ids = [encoder["id"] for encoder in info["encoders"]]
    alpha = 1.0 if len(ids) == 1 else float(info["alpha"]) if alpha is None else alpha
    shares = {ids[0]: 1.0} if len(ids) == 1 else dict(zip(ids, (alpha, 1.0 - alpha), strict=True))
    return Mix(shares, alpha, int(info["dim"]))


def read_shard(path: str | Place, mix: Mix) -> Features:
    """The mixed features of one shard; a video's encoders are always in the same."""
    table = read_table(place(path), FEATURES_SCHEMA.names)
    starts: dict[str, NDArray[np.int32]] = {}
    mixed: dict[str, NDArray[np.float32]] = {}
    for row in range(table.num_rows):
        name = table["video_id"][row].as_py()
        share = mix.shares[table["encoder_id"][row].as_py()]
        flat = table["features"][row].values.to_numpy(zero_copy_only=False)
        values = share * flat.reshape(-1, mix.dim).astype(np.float32)
        mixed[name] = mixed[name] + values if name in mixed else values
        starts[name] = table["window_starts"][row].values.to_numpy()
    values_by_video = [value.astype(np.float16) for value in mixed.values()]
    return Features(list(mixed), list(starts.values()), values_by_video, mix.dim, mix.alpha)


def read_info(folder: str | Place) -> dict[str, Any]:
    """What `features.json` says: `encoders` (`id`, `path`), `alpha`, `dim`, `size`, `corpus`.

    Raises
    ------
    InputError
        If the folder holds no features.
    """
    path = place(folder) / INFO_FILE
    if not path.is_file():
        raise InputError(f"'{folder}' holds no features; make them with 'cico features'")
    info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return info


def pad_features(features: list[Array], length: int | None = None) -> tuple[Tensor, Tensor]:
    """Features of a batch of videos, padded with zeros: float32 [B, T, F] and bool [B, T].

    T is `length`, or that of the longest video.
    """
    longest = length or max(len(value) for value in features)
    padded = torch.zeros(len(features), longest, features[0].shape[1])
    valid = torch.zeros(len(features), longest, dtype=torch.bool)
    for row, value in enumerate(features):
        padded[row, : len(value)] = torch.from_numpy(value.astype(np.float32))
        valid[row, : len(value)] = True
    return padded, valid


def _rows(row: Row, ids: list[str], config: SignEncoderConfig) -> list[Row]:
    return [
        {
            "video_id": row["video_id"],
            "encoder_id": encoder_id,
            "window_starts": row["window_starts"],
            "dim": config.feature_dim,
            "features": np.frombuffer(values, dtype=np.float16),
        }
        for encoder_id, values in zip(ids, row["features"], strict=True)
    ]


def _write_info(
    folder: Place, corpus: Corpus, paths: list[str], ids: list[str], alpha: float, config: SignEncoderConfig
) -> None:
    encoders = [{"id": name, "path": path} for name, path in zip(ids, paths, strict=True)]
    info = {
        "encoders": encoders,
        "alpha": alpha,
        "dim": config.feature_dim,
        "size": config.size,
        "corpus": absolute(corpus.path),
    }
    write_json(folder / INFO_FILE, info)
