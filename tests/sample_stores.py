"""Sample stores for tests: built in this process, or an index alone that is as large as one wants."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from cico_platform.corpus.manifest import Corpus
from cico_platform.storage import Place
from cico_platform.training.data.cuts import Cut, FrameSettings, plan_store
from cico_platform.training.data.frame_codec import encode_frame
from cico_platform.training.data.sample_builder import StoreSummary, finish_store
from cico_platform.training.data.sample_index import write_index
from cico_platform.training.data.sample_ledger import DONE, FRAMES_SUFFIX, LEDGER_SCHEMA, Ledger
from cico_platform.training.data.shard_writer import write_shard


def build_here(corpus: Path, cuts: Sequence[Cut], folder: Place, settings: FrameSettings) -> StoreSummary:
    """`build_sample_store` without Ray."""
    plan = plan_store(Corpus(corpus), cuts, settings)
    folder.mkdir(parents=True, exist_ok=True)
    for shard in plan.shards:
        assert not write_shard(shard, folder, settings).failure
    return finish_store(plan, folder, settings)


def write_repeated(folder: Path, samples: int, frames: int, size: int) -> None:
    """A store of any number of samples that all have the same drawn frames."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    encoded = [encode_frame(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(frames)]
    (folder / f"shard{FRAMES_SUFFIX}").write_bytes(b"".join(encoded))
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in encoded])])
    starts = np.arange(samples + 1, dtype=np.int32) * len(offsets)
    columns = {
        "video_id": pa.array([f"clip-{number}" for number in range(samples)]),
        "path": pa.array(["a.mp4"] * samples),
        "label": pa.array([f"sign-{number % 50}" for number in range(samples)]),
        "start": pa.array(np.zeros(samples, np.int32)),
        "outcome": pa.array([DONE] * samples),
        "reason": pa.array([""] * samples),
        "frames": pa.array(np.full(samples, frames, np.int32)),
        "offsets": pa.ListArray.from_arrays(starts, np.tile(offsets, samples)),
    }
    rows = pa.table(columns).cast(LEDGER_SCHEMA)
    write_index(folder, "key", [Ledger("shard", rows, int(offsets[-1]))], FrameSettings(size=size))
