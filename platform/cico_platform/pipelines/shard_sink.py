"""The sink of the pipelines, in the worker that computed a batch: it writes the shard, and tells outcomes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from cico_platform.pipelines.output import OUTCOME_SCHEMA
from cico_platform.pipelines.shards import DamagedShardError, ShardKind, read_footer, shard_path, write_shard
from cico_platform.schemas.ledger import DONE, LedgerRow, ledger_table
from cico_platform.shard_output import OutputError, attempt, is_there
from cico_platform.storage import place


@dataclass(frozen=True)
class BatchClip:
    """A clip of a batch: its position in the run's `ClipTable`, its name and its key."""

    position: int
    video_id: str
    clip_key: str


@dataclass(frozen=True)
class ShardSink:
    """Writes each batch as a shard of its own, named by its clips; see `pipelines.shards`.

    Attributes
    ----------
    folder
        Of the output, as every worker finds it.
    """

    folder: str
    kind: ShardKind

    def write(
        self, clips: Sequence[BatchClip], compute: Callable[[], tuple[pa.Table, Sequence[LedgerRow]]]
    ) -> pa.Table:
        """Write what a batch gives, and return its outcomes (`OUTCOME_SCHEMA`).

        A batch whose shard is there, because its worker or its node died after writing it, is not computed
        again.

        Parameters
        ----------
        compute
            Returns the rows (of `kind.schema`) and a ledger row of each clip, in the clips' order.
        """
        folder = place(self.folder)
        path = shard_path(folder, self.kind.name((c.video_id, c.clip_key) for c in clips))
        try:
            if attempt(folder, partial(is_there, path)):
                with suppress(DamagedShardError):  # it is written again
                    footer = read_footer(path)
                    if footer is not None:
                        return _outcomes(clips, footer.ledger)
            rows, ledger = compute()
            written = ledger_table(ledger)
            attempt(folder, partial(write_shard, path, self.kind, [rows], written))
        except OutputError as error:
            return _outcomes(clips, None, str(error))
        return _outcomes(clips, written)


def _outcomes(clips: Sequence[BatchClip], ledger: pa.Table | None, failure: str = "") -> pa.Table:
    columns = ("video_id", "outcome", "windows")
    rows = [] if ledger is None else zip(*(ledger[name].to_pylist() for name in columns), strict=True)
    known = {name: (outcome, windows) for name, outcome, windows in rows}
    told = [known.get(clip.video_id, ("", 0)) for clip in clips]
    table = {
        "position": [clip.position for clip in clips],
        "done": [outcome == DONE for outcome, _ in told],
        "windows": [windows or 0 for _, windows in told],
        "failure": [failure] * len(clips),
    }
    return pa.table(table, schema=OUTCOME_SCHEMA)
