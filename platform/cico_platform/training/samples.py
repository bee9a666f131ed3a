"""Training clips of the sign encoder, decoded once by Ray Data and kept in Ray's object store as bytes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import TaskPoolStrategy

from cico_platform.corpus.manifest import Corpus
from cico_platform.pipelines.decode import (
    CLIPS_PER_BLOCK,
    DECODER_CPUS,
    Frames,
    Row,
    decode_row,
    frames_of,
    source_rows,
)

WINDOW = 16
TO_THE_END = -1
# Blocks that a worker keeps at hand; others may be spilled to disk.
BLOCKS_HELD = 256
SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("error", pa.string()),
        pa.field("label", pa.string()),
        pa.field("start", pa.int32()),
        pa.field("pixels", pa.large_binary()),
    ]
)


@dataclass(frozen=True)
class Cut:
    """Frames `start` to `end` (None: to the last) of a clip show the sign `label`."""

    video_id: str
    label: str
    start: int = 0
    end: int | None = None


@dataclass
class Samples:
    """Decoded cuts: blocks of Arrow tables in the object store, and where each sample is.

    `places` names the block and the row of each sample, `labels` its sign.
    """

    blocks: list[Any]
    places: list[tuple[int, int]]
    labels: list[str]
    size: int

    def __len__(self) -> int:
        return len(self.places)

    def reader(self) -> "Reader":
        """Access to the pixels, for one process."""
        return Reader(self)


class Reader:
    """Reads samples; blocks stay in the object store's shared memory, nothing is copied."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self._column = lru_cache(maxsize=BLOCKS_HELD)(self._fetch)

    def __getitem__(self, index: int) -> Frames:
        block, row = self.samples.places[index]
        return frames_of(self._column(block)[row].as_buffer(), self.samples.size)

    def _fetch(self, block: int) -> pa.ChunkedArray:
        return ray.get(self.samples.blocks[block]).column("pixels")


def decode_samples(
    corpus: Corpus, cuts: Sequence[Cut], size: int, decoders: int
) -> tuple[Samples, list[Row]]:
    """Decode all cuts, each clip once.

    Returns
    -------
    tuple
        The samples, in the order of the cuts, and a quarantine row for each clip that cannot be decoded.
    """
    by_clip: dict[str, list[Cut]] = defaultdict(list)
    for cut in cuts:
        by_clip[cut.video_id].append(cut)
    clips = [clip for clip in corpus.clips() if clip.video_id in by_clip]
    rows = source_rows(corpus, clips)
    for row in rows:
        found = by_clip[row["video_id"]]
        row["labels"] = [cut.label for cut in found]
        row["starts"] = [cut.start for cut in found]
        row["ends"] = [TO_THE_END if cut.end is None else cut.end for cut in found]
    if not rows:
        return Samples([], [], [], size), []
    blocks = -(-len(rows) // CLIPS_PER_BLOCK)
    source = ray.data.from_items(rows, override_num_blocks=blocks)
    decoded = source.map_batches(
        _decode_cuts,
        fn_kwargs={"size": size},
        batch_size=None,
        batch_format="pyarrow",
        compute=TaskPoolStrategy(size=min(decoders, blocks)),
        num_cpus=DECODER_CPUS,
    ).materialize()
    return _index(decoded.to_arrow_refs(), size)


def middle_window(frames: Frames) -> Frames:
    """The 16 frames in the middle, [16, S, S, 3]."""
    start = max(len(frames) - WINDOW, 0) // 2
    return _full(frames[start : start + WINDOW])


def _full(frames: Frames) -> Frames:
    missing = WINDOW - len(frames)
    return frames if missing <= 0 else np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])


def _decode_cuts(batch: pa.Table, size: int) -> Iterator[pa.Table]:
    for row in batch.to_pylist():
        frames, error = decode_row(row, size)
        known = {"video_id": row["video_id"], "path": row["path"], "error": error}
        samples = []
        for label, start, end in zip(row["labels"], row["starts"], row["ends"], strict=True):
            pixels = b"" if frames is None else _cut(frames, start, end).tobytes()
            samples.append({**known, "label": label, "start": start, "pixels": pixels})
        yield pa.Table.from_pylist(samples, schema=SAMPLE_SCHEMA)


def _cut(frames: Frames, start: int, end: int) -> Frames:
    cut = frames[start : None if end == TO_THE_END else end]
    return np.ascontiguousarray(cut if len(cut) else frames[-WINDOW:])


def _index(blocks: list[Any], size: int) -> tuple[Samples, list[Row]]:
    describe = ray.remote(num_cpus=1)(_describe)  # a fraction would start a process for every block
    described = ray.get([describe.remote(block) for block in blocks])
    found: list[tuple[str, int, int, int, str]] = []
    failed: dict[str, Row] = {}
    for number, table in enumerate(described):
        for row, sample in enumerate(table.to_pylist()):
            if sample["error"]:
                kept = {"video_id": sample["video_id"], "path": sample["path"], "reason": sample["error"]}
                failed[sample["video_id"]] = kept
            else:
                found.append((sample["video_id"], sample["start"], number, row, sample["label"]))
    # Blocks arrive as they are ready: an order of their own keeps training the same from run to run.
    found.sort()
    samples = Samples(blocks, [(f[2], f[3]) for f in found], [f[4] for f in found], size)
    return samples, [failed[name] for name in sorted(failed)]


def _describe(block: pa.Table) -> pa.Table:
    return block.drop_columns(["pixels"])
