"""The output folder of a run, as its driver sees it: which clips are done, and how the folder is closed."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import CicoError
from cico_platform.pipelines.clip_table import ClipTable
from cico_platform.pipelines.compaction import Input, Join, plan_joins, remove_leftovers, run_joins
from cico_platform.pipelines.ledgers import Ledgers, read_ledgers, write_clips
from cico_platform.pipelines.shards import PART, ShardKind, shard_path
from cico_platform.pipelines.workers import on_workers
from cico_platform.schemas.ledger import DONE, QUARANTINED
from cico_platform.settings import OnProgress
from cico_platform.shard_output import OutputError, attempt
from cico_platform.steps import content_key
from cico_platform.storage import Place, absolute, copy_file

# What leaves a worker of each clip of a batch: its position in the run's `ClipTable`, and why the batch could
# not be written, or nothing.
OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64()),
        pa.field("done", pa.bool_()),
        pa.field("windows", pa.int32()),
        pa.field("failure", pa.string()),
    ]
)
WAITING, IS_DONE, IS_QUARANTINED = 0, 1, 2


@dataclass(frozen=True)
class Counts:
    """How a run ended, in clips; `skipped` were done by an earlier output, `done` were not.

    `truncated` and `short` count the clips of both that lack frames.
    """

    done: int
    skipped: int
    quarantined: int
    truncated: int
    short: int

    @property
    def outcomes(self) -> dict[str, int]:
        """The counts of a step's summary."""
        return {"done": self.done, "skipped": self.skipped, "quarantined": self.quarantined}

    @property
    def shortcomings(self) -> dict[str, int]:
        """How many clips lack frames, and how."""
        return {"truncated": self.truncated, "short": self.short}


class Output:
    """The folder that a run fills; workers write its shards, this object knows which clips are in them.

    Parameters
    ----------
    folder
        Made if it is missing. What an earlier try left in it counts.
    here
        Whether files are joined in this process, as the clips were encoded in it.
    """

    def __init__(self, folder: Place, kind: ShardKind, clips: ClipTable, here: bool = False) -> None:
        attempt(folder, partial(folder.mkdir, parents=True, exist_ok=True))
        self.folder, self.kind, self.clips, self.here = folder, kind, clips, here
        self._state = np.zeros(len(clips), dtype=np.int8)
        self._taken = np.zeros(len(clips), dtype=bool)
        self._windows = self._ended = self._quarantined = 0
        self._note(read_ledgers(folder))

    def _note(self, ledgers: Ledgers) -> None:
        counts, positions = ledgers.counted(self.clips)
        done = np.asarray(pc.equal(ledgers.rows["outcome"], DONE), dtype=bool)
        # A part may come from an earlier output: what was in quarantine there is tried again.
        tried = np.array([not path.name.startswith(PART) for path in ledgers.files], dtype=bool)
        self._state[positions[counts & done]] = IS_DONE
        self._state[positions[counts & ~done & tried[ledgers.file_of_row]]] = IS_QUARANTINED

    def take_over(self, earlier: Place) -> None:
        """Take what another folder of the same recipe holds of clips that have not changed since.

        Whole files are linked, or copied by the store; others are rewritten by workers.

        Raises
        ------
        OutputError
            If that fails.
        """
        ledgers = read_ledgers(earlier)
        right = np.array([recipe == self.kind.recipe for recipe in ledgers.recipes], dtype=bool)
        if not right.any():
            return
        counts, positions = ledgers.counted(self.clips)
        done = np.asarray(pc.equal(ledgers.rows["outcome"], DONE), dtype=bool)
        counts &= done & right[ledgers.file_of_row]
        self._taken[positions[counts]] = True
        wanted = counts.copy()
        wanted[counts] = self._state[positions[counts]] == WAITING
        # A clip that has left the corpus leaves the ledgers, too, also one that was in quarantine.
        held = np.bincount(ledgers.file_of_row[done | (positions < 0)], minlength=len(ledgers.files))
        taken = np.bincount(ledgers.file_of_row[wanted], minlength=len(ledgers.files))
        copies, joins = [], []
        for number in np.flatnonzero(taken).tolist():
            path = ledgers.files[number]
            if taken[number] == held[number] and ledgers.footers[number]:
                copies.append((path, shard_path(self.folder, path.stem.partition("-")[2], PART)))
                continue
            own = np.flatnonzero((ledgers.file_of_row == number) & wanted)
            joins.append(self._excerpt(path, ledgers.rows.take(pa.array(own))))
        for _ in on_workers(self._copy, copies, here=True):
            pass
        run_joins(joins, self.here)
        self._state[positions[wanted]] = IS_DONE

    def _copy(self, pair: tuple[Place, Place]) -> None:
        attempt(self.folder, partial(copy_file, *pair))

    def _excerpt(self, path: Place, ledger: pa.Table) -> Join:
        keep = tuple(ledger["video_id"].to_pylist())
        name = content_key(recipe=self.kind.recipe, file=path.name, clips=keep)
        target = absolute(shard_path(self.folder, name, PART))
        return Join(target, (Input(absolute(path), keep),), self.kind, ledger, remove=False)

    def waiting(self) -> NDArray[np.int64]:
        """Return the positions of clips that are neither done nor in quarantine: int64 [M]."""
        return np.flatnonzero(self._state == WAITING)

    def collect(self, outcomes: Iterable[pa.Table], on_progress: OnProgress | None = None) -> None:
        """Count what workers wrote, batch by batch (`OUTCOME_SCHEMA`).

        Raises
        ------
        CicoError
            If a batch could not be written.
        """
        self._ended = int((self._state != WAITING).sum())
        self._quarantined = int((self._state == IS_QUARANTINED).sum())
        self._report(on_progress)
        for table in outcomes:
            failure = next((text for text in table["failure"].to_pylist() if text), "")
            if failure:
                raise OutputError(
                    f"a shard could not be written to '{self.folder}': {failure}; what is written stays, "
                    "and the same command goes on"
                )
            done, positions = np.asarray(table["done"], dtype=bool), np.asarray(table["position"])
            fresh = self._state[positions] == WAITING
            self._ended += int(fresh.sum())
            self._quarantined += int((fresh & ~done).sum())
            self._state[positions] = np.where(done, IS_DONE, IS_QUARANTINED)
            self._windows += int(pc.sum(table["windows"]).as_py() or 0)
            self._report(on_progress)

    def _report(self, on_progress: OnProgress | None) -> None:
        if on_progress:
            total, quarantined = len(self.clips), self._quarantined
            on_progress(self._ended, total, quarantined=quarantined, windows=self._windows)

    def close(self, stage: str, corpus: Corpus | None = None) -> Counts:
        """Check that every clip ended somewhere, join small files, and write `clips.parquet`.

        Parameters
        ----------
        corpus
            Gets the clips of the ledgers that are in quarantine.

        Raises
        ------
        CicoError
            If a clip is missing, or nothing at all could be used.
        """
        ledgers = read_ledgers(self.folder)
        counts, positions = ledgers.counted(self.clips)
        rows = ledgers.rows.take(pa.array(np.flatnonzero(counts)))
        rows = rows.take(pa.array(np.argsort(positions[counts], kind="stable")))
        is_done = pc.equal(rows["outcome"], DONE)
        quarantined = rows.filter(pc.equal(rows["outcome"], QUARANTINED))
        if corpus is not None:
            columns = quarantined.select(["video_id", "path", "reason"])
            corpus.quarantine(stage, columns.to_pylist())
        total, done = len(self.clips), int(pc.sum(is_done).as_py() or 0)
        if total and not done:
            reasons = quarantined["reason"].to_pylist()
            first = reasons[0] if reasons else "no reason is known"
            raise CicoError(f"{stage}: none of {total} clips could be used; the first: {first}")
        if len(rows) != total:
            raise CicoError(
                f"{stage}: {total} clips went in, {done} came out and {len(quarantined)} are in quarantine;"
                " run the same command again"
            )
        self._join(ledgers)
        write_clips(self.folder, rows, self.kind.recipe, self.kind.encoding)
        lacks = {
            name: int(pc.sum(pc.and_(is_done, pc.fill_null(rows[name], False))).as_py() or 0)
            for name in ("truncated", "short")
        }
        taken = int(self._taken.sum())
        return Counts(done - taken, taken, len(quarantined), **lacks)

    def _join(self, ledgers: Ledgers) -> None:
        try:
            run_joins(plan_joins(self.folder, ledgers, self.clips, self.kind), self.here)
        except OutputError as error:
            raise OutputError(
                f"shards could not be joined in '{self.folder}': {error}; nothing is lost, and the "
                "same command goes on"
            ) from error
        remove_leftovers(self.folder, ledgers, self.clips)
