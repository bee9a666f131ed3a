"""Building an index on workers: each reads features, embeds them and writes tokens and points of its clips.

The calling process sees positions and counts; of an embedded index, which has one owner, also encodings and
payloads, and no tokens. A batch that Ray runs again writes its clips again, in place of what it wrote before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy

from cico_model.config import MAX_WINDOWS
from cico_platform.cluster import connect, is_started_here, node_cores
from cico_platform.errors import CicoError
from cico_platform.index.clip_names import NAMES_SCHEMA
from cico_platform.index.staging import STAGED_SCHEMA, Stage, Staged
from cico_platform.index.writer import MOST_CLIPS, IndexWriter
from cico_platform.pipelines.embed import VideoEmbedder
from cico_platform.pipelines.encoders import EncodingSettings, resources
from cico_platform.pipelines.feature_groups import GROUPS_SCHEMA, feature_groups
from cico_platform.pipelines.index_points import PointMaker
from cico_platform.pipelines.index_source import Source
from cico_platform.pipelines.stored_features import read_mix
from cico_platform.settings import OnProgress
from cico_platform.storage import absolute, place

# So many clips are embedded by this process before workers for them would have started.
FEW_CLIPS = 256
# Workers of a node without GPUs, each with its share of the cores; each holds a copy of the model.
WORKERS_PER_NODE = 4
BATCH_SCHEMA = pa.schema([*GROUPS_SCHEMA, pa.field("row", pa.int64())])
BUILT_SCHEMA = pa.schema(
    [pa.field("positions", pa.list_(pa.int64())), pa.field("failure", pa.string()), *STAGED_SCHEMA]
)


@dataclass(frozen=True)
class Built:
    """A batch that a worker has written.

    Attributes
    ----------
    positions
        int64 [n]: of its clips in the source.
    staged
        For `VectorIndex.complete`.
    """

    positions: NDArray[np.int64]
    staged: Staged


@dataclass(frozen=True)
class Filling:
    """How a collection is filled.

    Attributes
    ----------
    workers
        How many processes embed and write; 0: one a GPU, or up to four a node. A few clips are embedded by
        the calling process all the same.
    """

    on_progress: OnProgress | None = None
    workers: int = 0


def fill(writer: IndexWriter, source: Source, how: Filling) -> tuple[int, int]:
    """Write the clips that a collection lacks; returns how many were written, and how many were there.

    Raises
    ------
    CicoError
        If clips cannot be written, or none has features.
    """
    index, clips = writer.index, source.clips
    held = writer.present()
    known = clips.same(held["video_id"], held["clip_key"])
    there = np.zeros(len(source), bool)
    there[known[known >= 0]] = True
    kept = int(there.sum())
    stage = index.stage(writer.info.collection)
    for built in build_points(source, stage, np.flatnonzero(~there), index.write_bytes, how.workers):
        index.complete(writer.info.collection, built.staged)
        there[built.positions] = True
        if how.on_progress:
            how.on_progress(int(there.sum()), len(source))
    if not there.any():
        raise CicoError(f"none of the clips of '{source.corpus.path}' has features in '{source.features}'")
    right = clips.select(np.flatnonzero(there))
    writer.keep(pa.table([right.video_ids, right.keys], schema=NAMES_SCHEMA))
    return int(there.sum()) - kept, kept


class PointBuilder:
    """The actor: features of a batch of clips to tokens and points, which it writes.

    Parameters
    ----------
    embedder
        What `VideoEmbedder` is made with.
    """

    def __init__(self, embedder: dict[str, Any], maker: PointMaker, stage: Stage) -> None:
        self.embedder, self.maker, self.stage = VideoEmbedder(**embedder), maker, stage

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Clips (`BATCH_SCHEMA`) to one row of `BUILT_SCHEMA`."""
        try:
            staged, failure = self._write(batch), ""
        except CicoError as error:
            staged, failure = Staged(), str(error)
        row = {"positions": batch["position"].to_pylist(), "failure": failure, **staged.row()}
        return pa.Table.from_pylist([row], schema=BUILT_SCHEMA)

    def _write(self, batch: pa.Table) -> Staged:
        tokens = self.embedder.tokens(batch)
        index = {name: number for number, name in enumerate(batch["video_id"].to_pylist())}
        order = np.array([index[row.video_id] for row in tokens], np.int64)
        rows, keys = batch["row"].to_numpy()[order], batch["clip_key"].take(pa.array(order)).to_pylist()
        return self.stage.write(list(self.maker.points(tokens, rows, keys)))


def build_points(
    source: Source, stage: Stage, waiting: NDArray[np.int64], write_bytes: int, workers: int = 0
) -> Iterator[Built]:
    """Embed and write the clips at these positions of a source; those without features are left out.

    Parameters
    ----------
    write_bytes
        Bytes of tokens that are written together.
    workers
        As in `Filling`.

    Raises
    ------
    CicoError
        If clips cannot be written.
    """
    here = len(waiting) <= FEW_CLIPS and (not ray.is_initialized() or is_started_here())
    if not here:
        connect()
    batches = _batches(source, waiting, write_bytes, here)
    info = source.info
    embedder = {"model": absolute(info.model), "mix": read_mix(source.features, info.alpha)}
    maker = PointMaker(absolute(source.corpus.path), info.corpus, info.recipe, info.merge)
    actor = {"embedder": embedder, "maker": maker, "stage": stage}
    # The first write of a collection with product quantisation learns centroids: always of the same clips.
    first = len(batches) if here else int(info.quantization == "product" and len(waiting) == len(source))
    for table in chain(_here(batches[:first], actor), _on_workers(batches[first:], actor, workers)):
        for row in table.to_pylist():
            if row["failure"]:
                raise CicoError(row["failure"])
            yield Built(np.array(row["positions"], np.int64), Staged.of_row(row))


def _here(batches: list[pa.Table], actor: dict[str, Any]) -> Iterator[pa.Table]:
    if not batches:
        return
    embedder = {**actor["embedder"], "threads": torch.get_num_threads(), "device": "cpu"}
    try:
        yield from map(PointBuilder(**{**actor, "embedder": embedder}), batches)
    finally:
        actor["stage"].close()


def _on_workers(batches: list[pa.Table], actor: dict[str, Any], workers: int) -> Iterator[pa.Table]:
    if not batches:
        return
    gpus, nodes = int(ray.cluster_resources().get("GPU", 0)), node_cores()
    actors = workers or gpus or sum(min(WORKERS_PER_NODE, cores) for cores in nodes)
    actors = min(actors, len(batches))
    threads = max(1, min(nodes) // WORKERS_PER_NODE)
    _, per_actor = resources(EncodingSettings(actors=actors, threads=threads))
    actor = {**actor, "embedder": {**actor["embedder"], "threads": threads}}
    # `from_arrow` would start a worker for what these few rows say of themselves.
    built = ray.data.from_blocks(batches).map_batches(
        PointBuilder,
        fn_constructor_kwargs=actor,
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        **per_actor,
    )
    yield from built.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _batches(source: Source, waiting: NDArray[np.int64], write_bytes: int, here: bool) -> list[pa.Table]:
    """Tables of `BATCH_SCHEMA` with the clips that have features, in the order of the feature shards.

    The batches of a corpus are always the same. Those that are waiting as a whole stay as they are, so that
    a run that was cut goes on with the batches of the first run: the tokens of a clip may differ in their
    last bit by the clips that are embedded beside it. The clips of all others make new batches.
    """
    clips, found = source.clips, feature_groups(place(source.features), here)
    positions = clips.positions(found["video_id"])
    _, first = np.unique(positions, return_index=True)  # a clip may be in two shards
    rows = np.sort(first[positions[first] >= 0])
    positions, is_waiting = positions[rows], np.isin(positions[rows], waiting)
    whole = [part for part in _cut(source, positions, write_bytes) if is_waiting[part].all()]
    rest = is_waiting.copy()
    for part in whole:
        rest[part] = False
    others = np.flatnonzero(rest)
    parts = [np.arange(part.start, part.stop) for part in whole]
    parts += [others[part] for part in _cut(source, positions[others], write_bytes)]
    return [_batch(source, found, rows[part], positions[part]) for part in parts]


def _batch(
    source: Source, found: pa.Table, rows: NDArray[np.int64], positions: NDArray[np.int64]
) -> pa.Table:
    table = found.take(pa.array(rows))
    more = {
        "position": pa.array(positions),
        "clip_key": source.clips.keys.take(pa.array(positions)),
        "row": pa.array(source.clips.rows[positions]),
    }
    for name, column in more.items():
        table = table.append_column(name, column)
    return table.select(BATCH_SCHEMA.names).cast(BATCH_SCHEMA).combine_chunks()


def _cut(source: Source, positions: NDArray[np.int64], write_bytes: int) -> list[slice]:
    """Cut clips where the tokens of those before have so many bytes, or are `MOST_CLIPS`."""
    windows = source.windows[positions].astype(np.int64)
    windows = np.where(windows > 0, windows, MAX_WINDOWS)  # ledgers of earlier versions do not say
    sizes = 2 * source.info.dim * -(-windows // source.info.merge)
    ends = np.cumsum(sizes)
    cut, begin = [], 0
    while begin < len(positions):
        before = ends[begin] - sizes[begin]
        end = min(int(np.searchsorted(ends, before + write_bytes)) + 1, begin + MOST_CLIPS, len(positions))
        cut.append(slice(begin, end))
        begin = end
    return cut
