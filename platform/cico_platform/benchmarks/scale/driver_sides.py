"""Sides of the row `driver`: features stored by the workers that made them, and by the driver."""

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cico_platform.benchmarks.own_memory import OwnMemory
from cico_platform.benchmarks.own_ray import own_ray
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.pipelines.clip_table import ClipTable, read_clips
from cico_platform.pipelines.decode import DECODED_SCHEMA
from cico_platform.pipelines.encoders import EncodingSettings, resources
from cico_platform.pipelines.encoding_run import block_size, stream, waiting_blocks
from cico_platform.pipelines.output import Output
from cico_platform.pipelines.shard_sink import BatchClip, ShardSink
from cico_platform.pipelines.shards import ShardKind
from cico_platform.schemas.features import FEATURES_SCHEMA, ClipFeatures, features_table
from cico_platform.schemas.ledger import DONE, LedgerRow

Begin = Callable[[], None]
KIND = ShardKind(FEATURES_SCHEMA, "drawn", "drawn")


class RandomFeatures:
    """Stands in for `EncodingActor`: the features of a batch are random numbers; no frame is looked at.

    Parameters
    ----------
    sink
        Where a batch is stored; None returns its rows.
    """

    def __init__(self, windows: int, dim: int, encoders: int, sink: ShardSink | None) -> None:
        self.windows, self.dim, self.encoders, self.sink = windows, dim, encoders, sink
        self.rng = np.random.default_rng(0)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Clips of `DECODED_SCHEMA` to outcomes, or to rows of `FEATURES_SCHEMA`."""
        columns = (batch[name].to_pylist() for name in ("position", "video_id", "clip_key"))
        clips = [BatchClip(*row) for row in zip(*columns, strict=True)]
        if self.sink is None:
            return self._table(clips)
        ledger = [LedgerRow(clip.video_id, clip.clip_key, DONE, windows=self.windows) for clip in clips]
        return self.sink.write(clips, lambda: (self._table(clips), ledger))

    def _table(self, clips: list[BatchClip]) -> pa.Table:
        values = self.rng.standard_normal(self.windows * self.dim, dtype=np.float32).astype(np.float16)
        starts, times = list(range(self.windows)), [float(time) for time in range(2 * self.windows)]
        rows = [
            ClipFeatures(clip.video_id, f"encoder-{number}", starts, times, values, False, False)
            for clip in clips
            for number in range(self.encoders)
        ]
        return features_table(rows, self.dim)


def no_frames(block: pa.Table) -> Iterator[pa.Table]:
    """Stands in for `decode_block`: the clips without pixels."""
    columns = [
        block[field.name] if field.name in block.column_names else pa.nulls(len(block), field.type)
        for field in DECODED_SCHEMA
    ]
    yield pa.table(columns, schema=DECODED_SCHEMA)


def ours(task: Task, begin: Begin) -> Work:
    """From the manifest to the finished folder, or to its first shard."""
    begin()

    def run() -> Outputs:
        out = _emptied(task, "ours")
        with own_ray(), OwnMemory(before=0) as memory:
            watch = _Watch()
            clips = read_clips(task.values["corpus"])
            output = Output(out, KIND, clips)
            outcomes = watch.watched(_outcomes(task, clips, ShardSink(str(out), KIND)))
            with closing(outcomes):
                if task.values["only_start"]:
                    next(outcomes)
                else:
                    output.collect(outcomes)
                    output.close("drawn")
            found = watch.figures(memory)
        shutil.rmtree(out)
        return found

    return Work(run, lambda: None)


def plain(task: Task, begin: Begin) -> Work:
    """The same, but that all features are sent to the driver, which writes them."""
    begin()

    def run() -> Outputs:
        out = _emptied(task, "plain")
        with own_ray(), OwnMemory(before=0) as memory:
            watch = _Watch()
            clips = read_clips(task.values["corpus"])
            for number, table in enumerate(watch.watched(_outcomes(task, clips, None))):
                pq.write_table(table, out / f"part-{number:05d}.parquet", compression="zstd")
            found = watch.figures(memory)
        shutil.rmtree(out)
        return found

    return Work(run, lambda: None)


def _outcomes(task: Task, clips: ClipTable, sink: ShardSink | None) -> Iterator[pa.Table]:
    settings, per_actor = resources(EncodingSettings())
    actor = {name: task.values[name] for name in ("windows", "dim", "encoders")} | {"sink": sink}
    blocks = waiting_blocks(clips, np.arange(len(clips)), block_size(len(clips), settings))
    yield from stream(blocks, no_frames, RandomFeatures, actor, settings, per_actor)


class _Watch:
    """CPU time of this process since it was made, and what workers sent it."""

    def __init__(self) -> None:
        self.began, self.cpu, self.first, self.bytes = time.perf_counter(), time.process_time(), 0.0, 0

    def watched(self, tables: Iterator[pa.Table]) -> Generator[pa.Table]:
        """The same tables, counted."""
        for table in tables:
            self.first = self.first or time.perf_counter() - self.began
            self.bytes += table.nbytes
            yield table

    def figures(self, memory: OwnMemory) -> Outputs:
        """Return the figures of one repeat: times in seconds, bytes received, memory in MiB."""
        found = {
            "seconds": time.perf_counter() - self.began,
            "cpu_s": time.process_time() - self.cpu,
            "bytes": self.bytes,
            "first_s": self.first,
            "resident_mib": memory.mib,
        }
        return {name: np.array(value) for name, value in found.items()}


def _emptied(task: Task, side: str) -> Path:
    out = task.folder / f"features-{side}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return out
