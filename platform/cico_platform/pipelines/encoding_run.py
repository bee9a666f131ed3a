"""Running sign encoders over the clips of a corpus: source -> decode -> encode -> shards, on Ray Data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, TaskPoolStrategy

from cico_model.clips import windows
from cico_model.config import SignEncoderConfig
from cico_platform.cluster import is_started_here
from cico_platform.corpus.manifest import Corpus
from cico_platform.encoding.windows import encoded_windows
from cico_platform.pipelines.clip_table import ClipTable
from cico_platform.pipelines.decode import (
    DECODER_CPUS,
    WAITING_SCHEMA,
    Frames,
    decode_block,
    frames_of,
)
from cico_platform.pipelines.encoders import EncodingActor, EncodingSettings, Product, resources
from cico_platform.pipelines.reuse import StoredPlaces
from cico_platform.pipelines.shard_sink import ShardSink
from cico_platform.pipelines.workers import on_workers
from cico_platform.storage import absolute

CALIBRATION_CLIPS = 6
TASKS_IN_FLIGHT = 2
# Clips of a decoding task. With few clips all decoders shall have work to the end; with many, a task that is
# larger takes the driver less.
CLIPS_PER_BLOCK, MOST_CLIPS_PER_BLOCK, BLOCKS_PER_DECODER = 8, 256, 64


@dataclass(frozen=True)
class EncodingRun:
    """One run of sign encoders.

    Attributes
    ----------
    clips
        All clips of the run.
    config
        The size that the encoders share.
    folders
        Their checkpoints.
    limit
        Most windows of a clip that are encoded; None: all.
    """

    corpus: Corpus
    clips: ClipTable
    config: SignEncoderConfig
    settings: EncodingSettings
    folders: tuple[str, ...]
    product: Product
    sink: ShardSink
    limit: int | None = None
    stored: StoredPlaces | None = None

    def outcomes(self, waiting: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Encode the clips at these positions; yields outcomes (`OUTCOME_SCHEMA`) as shards are written."""
        if not len(waiting):
            return
        here = runs_here(len(waiting), self.settings)
        settings, per_actor = resources(self.settings)
        calibration = self._calibration(here)
        actor = {
            "folders": list(self.folders),
            "settings": settings,
            "product": self.product,
            "sink": self.sink,
            "limit": self.limit,
            "stored": self.stored.files if self.stored else (),
            "calibration": calibration,
        }
        decode = partial(decode_block, corpus=absolute(self.corpus.path), size=self.config.resize)
        if here:
            yield from _encode_here(self._blocks(waiting, settings.clips), decode, actor)
            return
        blocks = self._blocks(waiting, block_size(len(waiting), settings))
        yield from stream(blocks, decode, EncodingActor, actor, settings, per_actor)

    def _blocks(self, waiting: NDArray[np.int64], size: int) -> list[pa.Table]:
        return waiting_blocks(self.clips, waiting, size, self.stored)

    def _calibration(self, here: bool) -> torch.Tensor | None:
        """For int8: the middle window of a few clips, spread over the corpus; None for other precisions."""
        if self.settings.precision != "int8":
            return None
        step = max(1, len(self.clips) // (4 * CALIBRATION_CLIPS))
        chosen = np.arange(0, len(self.clips), step)
        (block,) = self._blocks(chosen, len(chosen))
        cut = partial(calibration_windows, corpus=absolute(self.corpus.path), config=self.config)
        ((_, found),) = on_workers(cut, [block], here=here)
        return found


def stream(
    blocks: Sequence[pa.Table],
    decode: Callable[[pa.Table], Iterator[pa.Table]],
    encoder: type,
    actor: Mapping[str, Any],
    settings: EncodingSettings,
    per_actor: Mapping[str, float],
) -> Iterator[pa.Table]:
    """Run blocks through decoding tasks and a pool of encoder actors; yields the outcomes of batches.

    Parameters
    ----------
    decode
        As `decode_block`.
    encoder, actor
        A class as `EncodingActor`, and what it is made with.
    """
    # `from_arrow` would start a worker for what these few rows say of themselves: two seconds.
    encoded = (
        ray.data.from_blocks(list(blocks))
        .map_batches(
            decode,
            batch_size=None,
            batch_format="pyarrow",
            compute=TaskPoolStrategy(size=max(1, min(settings.decoders, len(blocks)))),
            num_cpus=DECODER_CPUS,
        )
        .map_batches(
            encoder,
            fn_constructor_kwargs=dict(actor),
            batch_size=settings.clips,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ActorPoolStrategy(
                min_size=1,
                max_size=settings.actors,
                initial_size=settings.actors,  # loading a network takes longer than many a corpus
                max_tasks_in_flight_per_actor=TASKS_IN_FLIGHT,
            ),
            **per_actor,
        )
    )
    # Prefetching would only tell later what is written.
    yield from encoded.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def waiting_blocks(
    clips: ClipTable, positions: NDArray[np.int64], size: int, stored: StoredPlaces | None = None
) -> list[pa.Table]:
    """Return the clips at these positions as tables of `WAITING_SCHEMA` with so many clips each."""
    chosen = pa.array(positions)
    kinds = {field.name: field.type for field in WAITING_SCHEMA}
    none = pa.nulls(len(positions), kinds["stored_files"])
    columns = {
        "position": chosen,
        "row": pa.array(clips.rows[positions]),
        "video_id": clips.video_ids.take(chosen),
        "clip_key": clips.keys.take(chosen),
        "stored_files": none if stored is None else _rows(stored.numbers[positions]),
        "stored_rows": none.cast(kinds["stored_rows"]) if stored is None else _rows(stored.rows[positions]),
    }
    table = pa.table(columns, schema=WAITING_SCHEMA).combine_chunks()
    return [table.slice(first, size) for first in range(0, len(table), size)]


def calibration_windows(block: pa.Table, corpus: str, config: SignEncoderConfig) -> torch.Tensor | None:
    """Return the `middle_windows` of the clips of a block (`WAITING_SCHEMA`)."""
    decoded = (table["pixels"][0].as_buffer() for table in decode_block(block, corpus, config.resize))
    return middle_windows((frames_of(pixels, config.resize) for pixels in decoded), config)


def middle_windows(videos: Iterable[Frames | None], config: SignEncoderConfig) -> torch.Tensor | None:
    """Return the middle windows of the first few videos that have frames; None if none has."""
    chosen: list[torch.Tensor] = []
    for frames in videos:
        if frames is not None and len(frames):
            starts = encoded_windows(len(frames), limit=None)
            chosen.append(windows(frames, [starts[len(starts) // 2]], config))
        if len(chosen) == CALIBRATION_CLIPS:
            break
    return torch.cat(chosen) if chosen else None


def _rows(values: NDArray[np.int64] | NDArray[np.int32]) -> pa.ListArray:
    """A matrix as a column of lists."""
    ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(ends, pa.array(values.reshape(-1)))


def block_size(clips: int, settings: EncodingSettings) -> int:
    """Clips that a decoding task works through."""
    least = min(settings.clips, CLIPS_PER_BLOCK)
    return max(least, min(MOST_CLIPS_PER_BLOCK, clips // (BLOCKS_PER_DECODER * max(1, settings.decoders))))


def runs_here(clips: int, settings: EncodingSettings) -> bool:
    """Whether so few clips are encoded in the calling process: workers take longer to start than that."""
    return clips <= settings.here and is_started_here() and not ray.cluster_resources().get("GPU", 0)


def _encode_here(
    blocks: Iterable[pa.Table],
    decode: Callable[[pa.Table], Iterator[pa.Table]],
    actor: Mapping[str, Any],
) -> Iterator[pa.Table]:
    """The same in this process; files are still decoded in a process of their own."""
    threads = torch.get_num_threads()
    encoders = EncodingActor(**{**actor, "device": "cpu"})
    try:
        for block in blocks:
            yield encoders(pa.concat_tables(decode(block)).combine_chunks())
    finally:
        torch.set_num_threads(threads)
