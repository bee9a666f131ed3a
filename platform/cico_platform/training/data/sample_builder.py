"""Building a sample store with Ray Data: each task writes a shard, the driver sees names and counts.

Nothing here imports the model, so that the processes that decode stay small.
"""

import pickle
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import ray.data
from ray.data import TaskPoolStrategy

from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import CicoError
from cico_platform.pipelines.decode import DECODER_CPUS
from cico_platform.settings import OnProgress
from cico_platform.shard_output import attempt
from cico_platform.storage import Place, absolute, file_sizes, place
from cico_platform.training.data.cuts import Cut, FrameSettings, ShardPlan, StorePlan, plan_store
from cico_platform.training.data.sample_index import INDEX_FILE, write_index
from cico_platform.training.data.sample_ledger import (
    FRAMES_SUFFIX,
    LEDGER_SUFFIX,
    Ledger,
    Row,
    quarantine_rows,
    read_ledgers,
)
from cico_platform.training.data.shard_writer import write_shard

UNKNOWN_CLIP = "the corpus has no clip of this name"
_OWN_FILE = re.compile(
    rf"\.?[0-9a-f]{{16}}({re.escape(FRAMES_SUFFIX)}|{re.escape(LEDGER_SUFFIX)})(\..*partial)?"
)


@dataclass(frozen=True)
class StoreSummary:
    """Counts of a store.

    Attributes
    ----------
    key
        Names the samples (`StorePlan.key`).
    samples, built
        Segments that can be trained on; shards that this call wrote.
    quarantine
        Rows `video_id, path, reason`: one of each clip that gave no sample, and one of each segment of
        another clip that could not be used.
    lost_clips
        Clips that gave no sample.
    """

    key: str
    samples: int
    built: int
    quarantine: list[Row]
    lost_clips: int


def build_sample_store(
    corpus: Corpus,
    cuts: Sequence[Cut],
    folder: Place,
    settings: FrameSettings,
    decoders: int,
    on_progress: OnProgress | None = None,
) -> StoreSummary:
    """Store the frames of all cuts as JPEG; each clip is decoded once.

    The folder becomes one store: NAME.frames and NAME.parquet of each shard, and `index.arrow`. Shards that
    an earlier try has written whole are kept; what the folder holds of another store is removed at the end.

    Parameters
    ----------
    folder
        On this machine, on a shared disk or behind a URL; decoding tasks on all nodes write there.
    decoders
        Most tasks at the same time.

    Raises
    ------
    CicoError
        If a shard cannot be written. The same call goes on where this one ended.
    """
    plan = plan_store(corpus, cuts, settings)
    folder.mkdir(parents=True, exist_ok=True)
    ledgers = read_ledgers(folder, [shard.name for shard in plan.shards])
    pending = [shard for shard in plan.shards if shard.name not in ledgers]
    if pending:
        attempt(folder, partial((folder / INDEX_FILE).unlink, missing_ok=True))
        _write_shards(pending, folder, settings, decoders, _Progress(on_progress, len(cuts), ledgers))
    return finish_store(plan, folder, settings, len(pending))


def finish_store(plan: StorePlan, folder: Place, settings: FrameSettings, built: int = 0) -> StoreSummary:
    """Check that every shard of a plan is whole, and write the index of their samples.

    Raises
    ------
    CicoError
        If one is not.
    """
    names = [shard.name for shard in plan.shards]
    ledgers = read_ledgers(folder, names)
    missing = [name for name in names if name not in ledgers]
    if missing:
        raise CicoError(f"'{folder}': shard '{missing[0]}' was written but is not whole; run the same again")
    ordered = [ledgers[name] for name in names]
    attempt(folder, partial(write_index, folder, plan.key, ordered, settings))
    _remove_others(folder, set(names))
    return _summary(ordered, plan, built)


class _Progress:
    """Counts segments, those of earlier tries included."""

    def __init__(self, tell: OnProgress | None, total: int, ledgers: dict[str, Ledger]) -> None:
        self.tell, self.total = tell, total
        self.done = sum(len(ledger.rows) for ledger in ledgers.values())
        self.quarantined = 0

    def add(self, samples: int, quarantined: int) -> None:
        """Count a shard's segments."""
        self.done += samples + quarantined
        self.quarantined += quarantined
        if self.tell:
            self.tell(self.done, self.total, quarantined=self.quarantined, note="storing segments")


def _write_shards(
    pending: Sequence[ShardPlan], folder: Place, settings: FrameSettings, decoders: int, progress: _Progress
) -> None:
    items = [{"plan": pickle.dumps(shard)} for shard in pending]
    source = ray.data.from_items(items, override_num_blocks=len(items))
    written = source.map(
        _write_task,
        fn_kwargs={"folder": absolute(folder), "settings": settings.model_dump()},
        compute=TaskPoolStrategy(size=max(1, min(decoders, len(items)))),
        num_cpus=DECODER_CPUS,
    )
    for row in written.iter_rows():
        if row["failure"]:
            raise CicoError(
                f"a shard of training samples could not be written to '{folder}': {row['failure']}; "
                "the same command goes on"
            )
        progress.add(row["samples"], row["quarantined"])


def _write_task(row: Row, folder: str, settings: Row) -> Row:
    plan = pickle.loads(row["plan"])  # noqa: S301  # from this run's driver
    return asdict(write_shard(plan, place(folder), FrameSettings(**settings)))


def _summary(ledgers: Sequence[Ledger], plan: StorePlan, built: int) -> StoreSummary:
    rows, lost = quarantine_rows(ledgers)
    names = sorted({cut.video_id for cut in plan.unknown})
    rows += [{"video_id": name, "path": "", "reason": UNKNOWN_CLIP} for name in names]
    samples = sum(ledger.rows["outcome"].to_pylist().count("done") for ledger in ledgers)
    rows.sort(key=lambda row: str(row["video_id"]))
    return StoreSummary(plan.key, samples, built, rows, lost + len(names))


def _remove_others(folder: Place, names: set[str]) -> None:
    """Remove shards of another plan, and what killed tasks left."""
    for name in attempt(folder, partial(file_sizes, folder)):
        if _OWN_FILE.fullmatch(name) and (name.startswith(".") or name.partition(".")[0] not in names):
            attempt(folder, partial((folder / name).unlink, missing_ok=True))
