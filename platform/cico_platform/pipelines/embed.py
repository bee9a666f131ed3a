"""Embedding: sign features to the tokens that an index holds, by the retrieval model's video tower."""

from collections.abc import Iterator, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
import torch
from ray.data import ActorPoolStrategy

from cico_model.checkpoint import read_config
from cico_model.config import TowerConfig
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.cluster import connect, given_device
from cico_platform.encoding.video_tokens import EMBED_BATCH, embed_features
from cico_platform.errors import InputError
from cico_platform.pipelines.encoders import EncodingSettings, resources
from cico_platform.pipelines.parts import Parts, clips_of, close_books, collect, read_ledger
from cico_platform.pipelines.stored_features import (
    FEATURES_EDITION,
    Features,
    Mix,
    feature_shards,
    read_mix,
    read_shard,
)
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, earlier_outputs, fingerprint, run_step
from cico_platform.storage import Place, absolute, on_this_machine, place

Row = dict[str, Any]
STAGE = "embed"
# So many are embedded before an actor for them would have started.
FEW_VIDEOS = 64
TOKENS_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("window_starts", pa.list_(pa.int32())),
        pa.field("window_times", pa.list_(pa.float64())),
        pa.field("tokens", pa.large_binary()),
        pa.field("dim", pa.int32()),
    ]
)


def model_alpha(model: str | Place) -> float | None:
    """The share of the first encoder's features that a retrieval model was trained with, if it says."""
    alpha = read_config(on_this_machine(model)).get("metadata", {}).get("alpha")
    return None if alpha is None else float(alpha)


def embed(
    features: str | Place,
    model: str | Place,
    out: str | Place,
    settings: EncodingSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Store the tokens of every video of a feature folder.

    Writes shards `part-*.parquet`, a row a video: `video_id, window_starts, window_times, tokens, dim`;
    tokens are bytes of float16 [W, dim], one a window. Videos that `out` holds already, from the same
    features and model, are not embedded again. The features are mixed as in the model's training.

    Raises
    ------
    InputError
        If the folder holds no features, or they don't fit the model.
    """
    folder = place(features)
    mix = read_mix(folder, model_alpha(model))
    dim = check_searchable(model, open_model(model, folder, mix.dim)).embed_dim
    ledger = read_ledger(folder)
    keys = ledger.keys
    if not keys:
        raise InputError(f"'{features}' was written by another version; run 'cico features' again")
    recipe = content_key(
        stage=STAGE,
        edition=FEATURES_EDITION,
        features=ledger.recipe,
        shares=mix.shares,
        model=fingerprint(model),
    )

    def body(building: Place) -> Summary:
        connect()
        parts = Parts(building, TOKENS_SCHEMA, recipe, keys)
        for earlier in earlier_outputs(out, building):
            parts.take_over(earlier)
        missing = [shard for shard in feature_shards(folder) if not clips_of(shard) <= parts.done]
        collect(_new_videos(missing, model, mix, settings, parts), parts, lambda row: [row], on_progress)
        return Summary(**close_books(parts, STAGE), details={"dim": dim})

    return run_step(out, STAGE, content_key(recipe=recipe, clips=keys), body)


def _new_videos(
    shards: Sequence[Place],
    model: str | Place,
    mix: Mix,
    settings: EncodingSettings | None,
    parts: Parts,
) -> Iterator[list[Row]]:
    for batch in embed_shards(shards, model, mix, settings):
        rows = [row for row in batch if row["video_id"] not in parts.done]
        yield [{**row, "path": "", "error": "", "windows": len(row["window_starts"])} for row in rows]


def embed_videos(
    features: str | Place, model: str | Place, alpha: float, only: Set[str] | None = None
) -> Iterator[Row]:
    """Stream the videos of a feature folder through the video tower.

    Parameters
    ----------
    alpha
        The first encoder's share.
    only
        Videos that are needed; shards without any are not read.

    Yields
    ------
    dict
        `video_id`, `window_starts`, `window_times`, and `tokens` float16 [W, D]: one a window, no class
        token, no padding.
    """
    shards = feature_shards(features)
    if only is not None:
        shards = [shard for shard in shards if not clips_of(shard).isdisjoint(only)]
    mix = read_mix(features, alpha)
    few = only is not None and len(only) <= FEW_VIDEOS
    for batch in _embed_few(shards, model, mix, only or set()) if few else embed_shards(shards, model, mix):
        for row in batch:
            if only is not None and row["video_id"] not in only:
                continue
            tokens = np.frombuffer(row["tokens"], dtype=np.float16).reshape(-1, row["dim"])
            kept = {name: row[name] for name in ("video_id", "window_starts", "window_times")}
            yield {**kept, "tokens": tokens}


def embed_shards(
    shards: Sequence[Place], model: str | Place, mix: Mix, settings: EncodingSettings | None = None
) -> Iterator[list[Row]]:
    """Rows of `TOKENS_SCHEMA`, in batches, as the actors make them of feature shards."""
    if not shards:
        return
    connect()
    settings, per_actor = resources(settings or EncodingSettings())
    source = ray.data.from_items(
        [{"shard": absolute(path)} for path in shards], override_num_blocks=len(shards)
    )
    embedded = source.map_batches(
        VideoEmbedder,
        fn_constructor_kwargs={"model": absolute(model), "mix": mix, "threads": settings.threads},
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=settings.actors),
        **per_actor,
    )
    for batch in embedded.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield batch.to_pylist()


def _embed_few(shards: Sequence[Place], model: str | Place, mix: Mix, only: Set[str]) -> Iterator[list[Row]]:
    """Rows of `TOKENS_SCHEMA` of these few videos, made in this process."""
    if not shards:
        return
    embedder = VideoEmbedder(absolute(model), mix, torch.get_num_threads(), "cpu")
    for shard in shards:
        found = read_shard(shard, mix)
        wanted = found.select([name for name in found.video_ids if name in only])
        yield embedder.embed(wanted.strided(embedder.model.config.window_stride), 0).to_pylist()


def open_model(model: str | Place, features: str | Place, dim: int) -> RetrievalModel:
    """A retrieval model that takes features of this width.

    Raises
    ------
    InputError
        If it is no retrieval model, or takes others.
    """
    try:
        loaded = load_retrieval_model(on_this_machine(model))
    except (ValueError, OSError) as error:
        raise InputError(f"{error}; train one with 'cico train retrieval'") from error
    wanted = loaded.config.feature_dim
    if wanted != dim:
        raise InputError(f"'{model}' takes features of width {wanted}; '{features}' has {dim}")
    return loaded


def check_searchable(path: str | Place, model: RetrievalModel) -> TowerConfig:
    """The configuration of a model that an index can be made with.

    Raises
    ------
    InputError
        If it compares class tokens: an index holds a token for each window.
    """
    if model.config.pooling == "class":
        raise InputError(
            f"'{path}' compares class tokens, an index compares windows; train with pooling 'fine' or 'mean'"
        )
    return model.config


class VideoEmbedder:
    """The actor: shards of features to tokens; by default on the GPU that Ray gives it, if it does."""

    def __init__(self, model: str, mix: Mix, threads: int, device: str | None = None) -> None:
        torch.set_num_threads(threads)
        self.device = device or given_device()
        self.model = load_retrieval_model(on_this_machine(model)).to(self.device)
        self.mix = mix

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Paths of shards (`shard`) to rows of `TOKENS_SCHEMA`."""
        for shard in batch["shard"].to_pylist():
            features = read_shard(shard, self.mix).strided(self.model.config.window_stride)
            for first in range(0, len(features.video_ids), EMBED_BATCH):
                yield self.embed(features, first)

    def embed(self, features: Features, first: int) -> pa.Table:
        """The tokens of some of a shard's videos."""
        part = slice(first, first + EMBED_BATCH)
        tokens = embed_features(self.model, features.values[part], self.device)
        columns = (features.video_ids, features.window_starts, features.window_times)
        rows = [
            {
                "video_id": name,
                "window_starts": starts.tolist(),
                "window_times": times.ravel().tolist(),
                "tokens": own.tobytes(),
                "dim": own.shape[1],
            }
            for name, starts, times, own in zip(*(column[part] for column in columns), tokens, strict=True)
        ]
        return pa.Table.from_pylist(rows, schema=TOKENS_SCHEMA)
