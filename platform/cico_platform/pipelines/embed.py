"""Embedding: sign features to the tokens that an index holds, by the retrieval model's video tower."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy

from cico_model.checkpoint import read_config
from cico_model.config import TowerConfig
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.cluster import connect, given_device, is_started_here
from cico_platform.encoding.video_tokens import EMBED_BATCH, embed_features
from cico_platform.errors import InputError
from cico_platform.pipelines.clip_table import ClipTable, table_of
from cico_platform.pipelines.encoders import EncodingSettings, resources
from cico_platform.pipelines.feature_groups import GROUPS_SCHEMA, feature_groups, read_groups
from cico_platform.pipelines.ledgers import read_folder_ledger
from cico_platform.pipelines.output import Output
from cico_platform.pipelines.shard_sink import BatchClip, ShardSink
from cico_platform.pipelines.shards import ShardKind
from cico_platform.pipelines.stored_features import FEATURES_EDITION, Mix, read_mix
from cico_platform.schemas.ledger import DONE, LedgerRow
from cico_platform.schemas.tokens import TOKENS_SCHEMA, ClipTokens, tokens_table
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, earlier_outputs, fingerprint, run_step
from cico_platform.storage import Place, absolute, on_this_machine, place

STAGE = "embed"
# So many are embedded before an actor for them would have started.
FEW_VIDEOS = 64
CLIPS_PER_SHARD = 64


def model_alpha(model: str | Place) -> float | None:
    """The share of the first encoder's features that a retrieval model was trained with, if it says."""
    alpha = _metadata(model).get("alpha")
    return None if alpha is None else float(alpha)


def _metadata(model: str | Place) -> dict[str, Any]:
    found: dict[str, Any] = read_config(on_this_machine(model)).get("metadata", {})
    return found


def embed(
    features: str | Place,
    model: str | Place,
    out: str | Place,
    settings: EncodingSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Store the tokens of every video of a feature folder.

    Workers write shards, which become `part-*.parquet`, a row a video: `video_id, window_starts,
    window_times, tokens, dim`; tokens are bytes of float16 [W, dim], one a window. Videos that `out` holds
    already, from the same features and model, are not embedded again. The features are mixed as in the
    model's training.

    Raises
    ------
    InputError
        If the folder holds no features, or they don't fit the model.
    """
    folder = place(features)
    mix = read_mix(folder, model_alpha(model))
    dim = check_searchable(model, open_model(model, folder, mix.dim)).embed_dim
    ledger = read_folder_ledger(folder)
    clips = table_of(ledger.done())
    if not len(clips):
        raise InputError(f"'{features}' was written by another version; run 'cico features' again")
    recipe = content_key(
        stage=STAGE,
        edition=FEATURES_EDITION,
        features=ledger.recipe,
        shares=mix.shares,
        model=fingerprint(model),
    )
    kind = ShardKind(TOKENS_SCHEMA, recipe)

    def body(building: Place) -> Summary:
        connect()
        output = Output(building, kind, clips, here=len(clips) <= FEW_VIDEOS and is_started_here())
        for earlier in earlier_outputs(out, building):
            output.take_over(earlier)
        blocks = _blocks(folder, clips, output.waiting(), output.here)
        actor = {"model": absolute(model), "mix": mix, "sink": ShardSink(absolute(building), kind)}
        output.collect(_mapped(blocks, actor, settings, output.here), on_progress)
        return Summary(**output.close(STAGE).outcomes, details={"dim": dim})

    return run_step(out, STAGE, content_key(recipe=recipe, clips=clips.digest()), body)


def _blocks(folder: Place, clips: ClipTable, waiting: NDArray[np.int64], here: bool) -> list[pa.Table]:
    """Tables of `GROUPS_SCHEMA` with the clips at these positions, each a shard's worth."""
    return _cut(feature_groups(folder, here), clips, waiting) if len(waiting) else []


def _cut(found: pa.Table, clips: ClipTable, waiting: NDArray[np.int64]) -> list[pa.Table]:
    positions = clips.positions(found["video_id"])
    rows = np.flatnonzero(np.isin(positions, waiting) & (positions >= 0))
    keys = clips.keys.take(pa.array(positions[rows]))
    table = found.take(pa.array(rows))
    table = table.append_column("position", pa.array(positions[rows])).append_column("clip_key", keys)
    table = table.select(GROUPS_SCHEMA.names).cast(GROUPS_SCHEMA).combine_chunks()
    return [table.slice(first, CLIPS_PER_SHARD) for first in range(0, len(table), CLIPS_PER_SHARD)]


def _mapped(
    blocks: list[pa.Table], actor: dict[str, Any], settings: EncodingSettings | None, here: bool
) -> Iterator[pa.Table]:
    """Run `VideoEmbedder` over the blocks, in this process or in actors; yields its outcomes."""
    if not blocks:
        return
    if here:
        embedder = VideoEmbedder(**actor, threads=torch.get_num_threads(), device="cpu")
        yield from map(embedder, blocks)
        return
    settings, per_actor = resources(settings or EncodingSettings())
    embedded = ray.data.from_blocks(blocks).map_batches(
        VideoEmbedder,
        fn_constructor_kwargs={**actor, "threads": settings.threads},
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=settings.actors),
        **per_actor,
    )
    yield from embedded.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def open_model(model: str | Place, features: str | Place, dim: int) -> RetrievalModel:
    """A retrieval model that takes the features of a folder, which have this width.

    Raises
    ------
    InputError
        If it is no retrieval model, or takes features of another width.
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
    """The actor: features to tokens; by default on the GPU that Ray gives it, if it does.

    Parameters
    ----------
    sink
        Where the tokens are written; None returns them.
    """

    def __init__(
        self, model: str, mix: Mix, threads: int, device: str | None = None, sink: ShardSink | None = None
    ) -> None:
        torch.set_num_threads(threads)
        self.device = device or given_device()
        self.model = load_retrieval_model(on_this_machine(model)).to(self.device)
        self.mix, self.sink = mix, sink

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Clips of `GROUPS_SCHEMA` to their outcomes (`OUTCOME_SCHEMA`), or to rows of `TOKENS_SCHEMA`."""
        if self.sink is None:
            return tokens_table(self.tokens(batch))

        columns = [batch[name].to_pylist() for name in ("position", "video_id", "clip_key")]
        clips = [BatchClip(*row) for row in zip(*columns, strict=True)]

        def compute() -> tuple[pa.Table, list[LedgerRow]]:
            found = {each.video_id: each for each in self.tokens(batch)}
            rows = [found[clip.video_id] for clip in clips]
            ledger = [
                LedgerRow(clip.video_id, clip.clip_key, DONE, windows=len(row.tokens))
                for clip, row in zip(clips, rows, strict=True)
            ]
            return tokens_table(rows), ledger

        return self.sink.write(clips, compute)

    def tokens(self, batch: pa.Table) -> list[ClipTokens]:
        """The tokens of clips whose features are stored."""
        groups = [group.strided(self.model.config.window_stride) for group in read_groups(batch, self.mix)]
        names = [name for group in groups for name in group.video_ids]
        starts = [each for group in groups for each in group.window_starts]
        times = [each for group in groups for each in group.window_times]
        values = [each for group in groups for each in group.values]
        tokens = [
            own
            for first in range(0, len(names), EMBED_BATCH)
            for own in embed_features(self.model, values[first : first + EMBED_BATCH], self.device)
        ]
        return [ClipTokens(*row) for row in zip(names, starts, times, tokens, strict=True)]
