"""Ledgers of an output folder: read from footers, never from rows; and which file a clip's rows count in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cico_platform.pipelines.clip_table import ClipTable
from cico_platform.pipelines.shards import DamagedShardError, Footer, column_ledger, read_footer, shard_files
from cico_platform.pipelines.workers import on_workers
from cico_platform.schemas.ledger import DONE, LEDGER_SCHEMA, QUARANTINED
from cico_platform.schemas.version import check_version, versioned
from cico_platform.shard_output import attempt, is_there
from cico_platform.storage import Place, absolute, place, read_table, write_table

CLIPS_FILE = "clips.parquet"
FILES_PER_TASK = 256
# Footers of up to so many files are read by threads of this process: a millisecond each.
FILES_HERE = 512


@dataclass(frozen=True)
class FolderLedger:
    """What the shards of a folder are, all of them together.

    Attributes
    ----------
    recipe, encoding
        See `ShardKind`; empty where nothing says.
    clips
        Of `LEDGER_SCHEMA`; empty where nothing is known.
    """

    recipe: str = ""
    encoding: str = ""
    clips: pa.Table = field(default_factory=LEDGER_SCHEMA.empty_table)

    def done(self) -> pa.Table:
        """The rows of clips that are not in quarantine."""
        return self.clips.filter(pc.not_equal(pc.fill_null(self.clips["outcome"], ""), QUARANTINED))

    def keys(self) -> dict[str, str]:
        """The key of each of these clips, by its `video_id`."""
        done = self.done()
        return dict(zip(done["video_id"].to_pylist(), done["clip_key"].to_pylist(), strict=True))


@dataclass(frozen=True)
class Ledgers:
    """Ledgers of the files of a folder.

    Attributes
    ----------
    files
        Parts before shards.
    footers
        Whether each file has a footer of its own; those of earlier versions have none.
    recipes, encodings
        Of each file.
    rows
        All rows of `LEDGER_SCHEMA`, file by file.
    file_of_row
        int32: number of the file of each row.
    """

    files: list[Place]
    footers: list[bool]
    recipes: list[str]
    encodings: list[str]
    rows: pa.Table
    file_of_row: NDArray[np.int32]

    def counted(self, clips: ClipTable) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Choose the row of each clip that counts.

        A clip may be in two files, because a task ran twice or a joining was cut: a row that is done counts
        before one in quarantine, then one in the first file.

        Returns
        -------
        tuple
            For each row whether it counts, and the position of its clip in `clips` (-1: unknown or changed).
        """
        positions = clips.same(self.rows["video_id"], self.rows["clip_key"])
        is_done = np.asarray(pc.equal(self.rows["outcome"], DONE), dtype=bool)
        order = np.lexsort((self.file_of_row, ~is_done))
        order = order[positions[order] >= 0]
        _, first = np.unique(positions[order], return_index=True)
        counts = np.zeros(len(positions), dtype=bool)
        counts[order[first]] = True
        return counts, positions


def read_ledgers(folder: Place) -> Ledgers:
    """Read the ledgers of a folder's files, in workers where there are many.

    A file that is damaged has no rows, as if its clips had not been computed.

    Raises
    ------
    InputError
        If a later version wrote one.
    """
    paths = attempt(folder, lambda: shard_files(folder))
    found = _footers(paths)
    footers = [known for each in found for known in each.known]
    recipes = [recipe for each in found for recipe in each.recipes]
    encodings = [encoding for each in found for encoding in each.encodings]
    tables = [each.rows for each in found]
    counts = np.array([count for each in found for count in each.counts], dtype=np.int64)
    numbers = [np.repeat(np.arange(len(paths), dtype=np.int32), counts)]
    old = [number for number, known in enumerate(footers) if not known]
    if old:
        ledger = read_folder_ledger(folder, with_shards=False)
        for number in old:
            tables.append(column_ledger(paths[number], ledger.keys()))
            numbers.append(np.full(len(tables[-1]), number, dtype=np.int32))
            recipes[number], encodings[number] = ledger.recipe, ledger.encoding
    rows = pa.concat_tables([LEDGER_SCHEMA.empty_table(), *tables]).combine_chunks()
    return Ledgers(paths, footers, recipes, encodings, rows, np.concatenate(numbers))


@dataclass(frozen=True)
class _Footers:
    """What the footers of some files say, file by file: their rows are joined."""

    counts: list[int]
    known: list[bool]
    recipes: list[str]
    encodings: list[str]
    rows: pa.Table


def _footers(paths: Sequence[Place]) -> list[_Footers]:
    names = [absolute(path) for path in paths]
    chunks = [names[first : first + FILES_PER_TASK] for first in range(0, len(names), FILES_PER_TASK)]
    found: dict[int, _Footers] = {}
    read = on_workers(_read_chunk, list(enumerate(chunks)), here=len(paths) <= FILES_HERE)
    for (number, _), footers in read:
        found[number] = footers
    return [found[number] for number in range(len(chunks))]


def _read_chunk(chunk: tuple[int, Sequence[str]]) -> _Footers:
    read = on_workers(_sound_footer, [place(name) for name in chunk[1]], here=True)
    found = [footer for _, footer in read]
    footers = [footer or _no_footer() for footer in found]
    return _Footers(
        [len(footer.ledger) for footer in footers],
        [footer is not None for footer in found],
        [footer.recipe for footer in footers],
        [footer.encoding for footer in footers],
        pa.concat_tables([footer.ledger for footer in footers]).combine_chunks(),
    )


def _sound_footer(path: Place) -> Footer | None:
    try:
        return read_footer(path)
    except DamagedShardError:
        return _no_footer()


def _no_footer() -> Footer:
    return Footer(LEDGER_SCHEMA.empty_table(), "", "")


def read_folder_ledger(folder: Place, with_shards: bool = True) -> FolderLedger:
    """Return the ledger of a folder: its `clips.parquet`, or what the shards of a run that was cut say.

    Raises
    ------
    InputError
        If a later version wrote it.
    """
    path = folder / CLIPS_FILE
    if attempt(folder, partial(is_there, path)):
        table = attempt(folder, partial(read_table, path))
        metadata = table.schema.metadata or {}
        check_version(metadata, path)
        told = {name: metadata.get(name.encode(), b"").decode() for name in ("recipe", "encoding")}
        return FolderLedger(**told, clips=_completed(table))
    ledgers = read_ledgers(folder) if with_shards else None
    if not ledgers or not ledgers.files:
        return FolderLedger()
    first = next((number for number, recipe in enumerate(ledgers.recipes) if recipe), 0)
    return FolderLedger(ledgers.recipes[first], ledgers.encodings[first], ledgers.rows)


def _completed(table: pa.Table) -> pa.Table:
    """A ledger with the columns that earlier versions did not write."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in LEDGER_SCHEMA
    ]
    return pa.table(columns, schema=LEDGER_SCHEMA)


def write_clips(folder: Place, rows: pa.Table, recipe: str, encoding: str) -> None:
    """Write the ledger of a finished folder, `clips.parquet`: one row a clip."""
    schema = versioned(LEDGER_SCHEMA, {"recipe": recipe, "encoding": encoding})
    table = rows.cast(LEDGER_SCHEMA).replace_schema_metadata(schema.metadata)
    attempt(folder, lambda: write_table(folder / CLIPS_FILE, table, compression="zstd"))
