"""Compaction: workers join small shards to parts of 64 to 256 MB; a clip is in one file only at any time.

A part is named by a hash of the files that it is made from. It appears whole, and then these files are
removed. A part counts before shards (`Ledgers.counted`), so that it does not matter which of them are still
there: a process that is killed leaves each clip in one file that counts.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cico_platform.pipelines.clip_table import ClipTable
from cico_platform.pipelines.ledgers import Ledgers
from cico_platform.pipelines.shards import PART, SHARD, ShardKind, read_footer, shard_path, write_shard
from cico_platform.pipelines.workers import on_workers
from cico_platform.schemas.ledger import DONE
from cico_platform.shard_output import PARTIAL, OutputError, attempt, is_there
from cico_platform.steps import content_key
from cico_platform.storage import Place, absolute, file_sizes, fresh, is_remote, matching, place

SMALLEST_PART, USUAL_PART = 64 << 20, 128 << 20
# Fewer rows than that do not become a row group of their own.
ROWS_PER_GROUP = 64


@dataclass(frozen=True)
class Input:
    """A file to be joined with others: its path, and those of its clips that count (None: all)."""

    path: str
    keep: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Join:
    """One part to be written from several files of the same folder, or from files of another folder.

    Attributes
    ----------
    target
        The part's path.
    ledger
        Rows of the clips that it holds.
    remove
        Whether the inputs go once the part is written.
    """

    target: str
    inputs: tuple[Input, ...]
    kind: ShardKind
    ledger: pa.Table = field(compare=False)
    remove: bool = True


class _CountingRows:
    """Rows of ledgers that count, by file.

    Of each file, `useless` says that none does, and `dropped` that it holds a done clip whose row does not.
    """

    def __init__(self, ledgers: Ledgers, counts: NDArray[np.bool_]) -> None:
        files, file_of_row = len(ledgers.files), ledgers.file_of_row
        done = np.asarray(pc.equal(ledgers.rows["outcome"], DONE), dtype=bool)
        self.dropped = np.bincount(file_of_row[~counts & done], minlength=files) > 0
        self.useless = np.bincount(file_of_row[counts], minlength=files) == 0
        rows = np.flatnonzero(counts)
        self._rows = rows[np.argsort(file_of_row[rows], kind="stable")]
        self._ends = np.searchsorted(file_of_row[self._rows], np.arange(files + 1))

    def of_file(self, number: int) -> NDArray[np.int64]:
        """Numbers of a file's rows that count."""
        return self._rows[self._ends[number] : self._ends[number + 1]]


def plan_joins(folder: Place, ledgers: Ledgers, clips: ClipTable, kind: ShardKind) -> list[Join]:
    """Group the files that are no parts yet, are too small, or hold rows that do not count."""
    counts, positions = ledgers.counted(clips)
    sizes = attempt(folder, lambda: file_sizes(folder))
    size = np.array([sizes.get(path.name, 0) for path in ledgers.files], dtype=np.int64)
    is_part = np.array([path.name.startswith(f"{PART}-") for path in ledgers.files], dtype=bool)
    counting = _CountingRows(ledgers, counts)
    small = (size < SMALLEST_PART) & is_part
    joined = ~is_part | counting.dropped | ~np.array(ledgers.footers, dtype=bool)
    joined, small = joined & ~counting.useless, small & ~counting.useless
    if (joined.sum() and small.sum()) or small.sum() > 1:
        joined |= small
    first = np.full(len(size), len(clips), dtype=np.int64)
    np.minimum.at(first, ledgers.file_of_row[counts], positions[counts])
    chosen = np.flatnonzero(joined)
    chosen = chosen[np.argsort(first[chosen], kind="stable")]
    groups = _groups(chosen.tolist(), size)
    return [_join(folder, group, ledgers, counting, kind) for group in groups]


def _groups(files: Sequence[int], size: NDArray[np.int64]) -> list[list[int]]:
    """Consecutive files of about the same size together, as few groups as that allows."""
    total = int(size[list(files)].sum())
    most = max(1, total) / max(1, round(total / USUAL_PART))
    groups: list[list[int]] = []
    held = 0
    for number in files:
        if not groups or held >= most:
            groups.append([])
            held = 0
        groups[-1].append(number)
        held += int(size[number])
    return groups


def _join(
    folder: Place, files: Sequence[int], ledgers: Ledgers, counting: _CountingRows, kind: ShardKind
) -> Join:
    rows = {number: counting.of_file(number) for number in files}
    inputs = [
        Input(
            absolute(ledgers.files[number]),
            tuple(ledgers.rows["video_id"].take(pa.array(rows[number])).to_pylist())
            if counting.dropped[number]
            else None,
        )
        for number in files
    ]
    name = content_key(files=[[each.path.rpartition("/")[2], each.keep] for each in inputs])
    ledger = ledgers.rows.take(pa.array(np.concatenate(list(rows.values()))))
    return Join(absolute(shard_path(folder, name, PART)), tuple(inputs), kind, ledger)


def run_joins(joins: Sequence[Join], here: bool) -> None:
    """Write the parts, in this process or in workers.

    Raises
    ------
    OutputError
        If one cannot be written; what was there still counts.
    """
    for _, failure in on_workers(_run, list(joins), here=here):
        if failure:
            raise OutputError(failure)


def _run(join: Join) -> str:
    """Write a part and remove what it replaces; returns why that failed, or nothing."""
    target = place(join.target)
    try:
        attempt(target.parent, partial(_write, join, target))
        if join.remove:
            for each in join.inputs:
                path = place(each.path)
                attempt(target.parent, partial(path.unlink, missing_ok=True))
    except OutputError as error:
        return str(error)
    return ""


def _write(join: Join, target: Place) -> None:
    there = [attempt(target.parent, partial(is_there, place(each.path))) for each in join.inputs]
    # This task ran before, on a node that was lost then: its part is there, and inputs may be gone.
    if not all(there) and is_there(target) and read_footer(target) is not None:
        return
    write_shard(target, join.kind, _batches(join), join.ledger)


def _batches(join: Join) -> Iterator[pa.Table]:
    """The rows of a join in row groups; all rows of a clip stay in one."""
    waiting: list[pa.Table] = []
    for each in join.inputs:
        for table in _row_groups(each, join.kind.schema):
            waiting.append(table)
            if sum(map(len, waiting)) >= ROWS_PER_GROUP:
                yield pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _row_groups(source: Input, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of an input that count; what a store refuses is asked for again, row group by row group."""
    keep = None if source.keep is None else pa.array(source.keep, pa.string())
    path, number, count = place(source.path), 0, 1
    while number < count:
        table, count = _sound_row_group(path, number, schema)
        yield table if keep is None else table.filter(pc.is_in(table["video_id"], value_set=keep))
        number += 1


def _sound_row_group(path: Place, number: int, schema: pa.Schema) -> tuple[pa.Table, int]:
    try:
        return attempt(path.parent, partial(_row_group, path, number, schema))
    except (OutputError, pa.ArrowInvalid) as error:
        why = " ".join(str(error).split())
        raise OutputError(
            f"'{path}' cannot be read ({why}); if it is damaged, remove it: its clips are computed again"
        ) from error


def _row_group(path: Place, number: int, schema: pa.Schema) -> tuple[pa.Table, int]:
    """Rows of a row group, and how many the file has; a column that an earlier version lacks is null."""
    with path.open("rb") as opened:
        file = pq.ParquetFile(opened)
        known = set(file.schema_arrow.names)
        if number >= file.num_row_groups:
            return schema.empty_table(), file.num_row_groups
        table = file.read_row_group(number, columns=[name for name in schema.names if name in known])
    columns = [
        table[field.name].cast(field.type) if field.name in known else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema), file.num_row_groups


def remove_leftovers(folder: Place, ledgers: Ledgers, clips: ClipTable) -> None:
    """Remove what does not count in a folder whose clips are all accounted for.

    These are files of which no row counts, shards that a process of an earlier try has written since the
    ledgers were read, and what killed processes left half-written.
    """
    useless = _CountingRows(ledgers, ledgers.counted(clips)[0]).useless
    late = attempt(folder, lambda: matching(fresh(folder), f"{SHARD}-*.parquet"))
    for path in dict.fromkeys([*(p for p, none in zip(ledgers.files, useless, strict=True) if none), *late]):
        attempt(folder, partial(path.unlink, missing_ok=True))
    if not is_remote(folder):
        for partial_file in folder.glob(PARTIAL):
            with suppress(OSError):
                partial_file.unlink(missing_ok=True)
