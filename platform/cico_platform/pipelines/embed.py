"""Embedding: sign features to the tokens that an index holds, by the retrieval model's video tower."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
import torch
from ray.data import ActorPoolStrategy

from cico_model.checkpoint import read_config
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.pipelines.encoders import EncodingSettings, resources
from cico_platform.pipelines.features import (
    Features,
    Mix,
    feature_shards,
    pad_features,
    read_mix,
    read_shard,
)
from cico_platform.storage import Place, absolute, on_this_machine

Row = dict[str, Any]
ENCODE_BATCH = 64
TOKENS_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("window_starts", pa.list_(pa.int32())),
        pa.field("tokens", pa.large_binary()),
        pa.field("dim", pa.int32()),
    ]
)


def model_alpha(model: str | Place) -> float | None:
    """The share of the first encoder's features that a retrieval model was trained with, if it says."""
    alpha = read_config(on_this_machine(model)).get("metadata", {}).get("alpha")
    return None if alpha is None else float(alpha)


def embed_videos(
    features: str | Place,
    model: str | Place,
    alpha: float | None = None,
    settings: EncodingSettings | None = None,
) -> Iterator[Row]:
    """Stream the videos of a feature folder through the video tower, shard by shard.

    Parameters
    ----------
    alpha
        The first encoder's share; None takes that of the model's training.

    Yields
    ------
    dict
        `video_id`, `window_starts`, and `tokens` float16 [W, D]: one a window, no class token, no padding.
    """
    chosen = model_alpha(model) if alpha is None else alpha
    settings, per_actor = resources(settings or EncodingSettings())
    shards = [{"shard": absolute(path)} for path in feature_shards(features)]
    embedded = ray.data.from_items(shards, override_num_blocks=max(1, len(shards))).map_batches(
        VideoEmbedder,
        fn_constructor_kwargs={
            "model": absolute(model),
            "mix": read_mix(features, chosen),
            "threads": settings.threads,
        },
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=settings.actors),
        **per_actor,
    )
    for batch in embedded.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
        for row in batch.to_pylist():
            tokens = np.frombuffer(row["tokens"], dtype=np.float16).reshape(-1, row["dim"])
            yield {"video_id": row["video_id"], "window_starts": row["window_starts"], "tokens": tokens}


class VideoEmbedder:
    """The actor: shards of features to tokens."""

    def __init__(self, model: str, mix: Mix, threads: int) -> None:
        torch.set_num_threads(threads)
        self.device = "cuda" if torch.cuda.is_available() and ray.get_gpu_ids() else "cpu"
        self.model = load_retrieval_model(on_this_machine(model)).to(self.device)
        self.mix = mix

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Paths of shards (`shard`) to rows of `TOKENS_SCHEMA`."""
        for shard in batch["shard"].to_pylist():
            features = read_shard(shard, self.mix)
            for first in range(0, len(features.video_ids), ENCODE_BATCH):
                yield self.embed(features, first)

    @torch.inference_mode()
    def embed(self, features: Features, first: int) -> pa.Table:
        """The tokens of some of a shard's videos."""
        part = slice(first, first + ENCODE_BATCH)
        padded, valid = pad_features(features.values[part])
        tokens = self.model.encode_video(padded.to(self.device), valid.to(self.device)).cpu()
        counts = valid.sum(dim=1).tolist()
        rows = [
            {
                "video_id": name,
                "window_starts": starts.tolist(),
                "tokens": tokens[row, 1 : 1 + counts[row]].numpy().astype(np.float16).tobytes(),
                "dim": tokens.shape[2],
            }
            for row, (name, starts) in enumerate(
                zip(features.video_ids[part], features.window_starts[part], strict=True)
            )
        ]
        return pa.Table.from_pylist(rows, schema=TOKENS_SCHEMA)
