"""The manifest: one row a clip, the one form in which every later step sees every corpus."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cico_platform.errors import CicoError, InputError
from cico_platform.schemas.clips import KEY_FIELDS, LATER_COLUMNS, MANIFEST_SCHEMA, SPLITS, Clip, Split
from cico_platform.schemas.version import check_version, versioned
from cico_platform.storage import (
    Place,
    absolute,
    inside,
    matching,
    place,
    write_table,
    write_whole,
)

MANIFEST_FILE = "manifest.parquet"
INFO_FILE = "corpus.json"
QUARANTINE_FOLDER = "quarantine"
# A worker reads a row group for the few clips of a task.
ROWS_PER_GROUP = 8192
__all__ = [
    "MANIFEST_SCHEMA",
    "SPLITS",
    "Clip",
    "Corpus",
    "Split",
    "check_unique",
    "read_manifest",
    "scan_manifest",
    "to_table",
    "unique_ids",
    "write_manifest",
]


def unique_ids(ids: Iterable[str]) -> list[str]:
    """Make names unique by a running number, in order, keeping the first of each as it is.

    >>> unique_ids(["a", "a", "a-2", "b"])
    ['a', 'a-3', 'a-2', 'b']
    """
    names = list(ids)
    taken, given, result = set(names), set[str](), []
    for name in names:
        unique, number = name, 2
        while unique in given or (unique != name and unique in taken):
            unique, number = f"{name}-{number}", number + 1
        given.add(unique)
        result.append(unique)
    return result


def check_unique(ids: pa.Array | pa.ChunkedArray, corpus: object) -> None:
    """Refuse clips of one name, which a manifest that another program wrote may have.

    Raises
    ------
    InputError
        Naming one.
    """
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0]
    raise InputError(f"'{corpus}': two clips are named '{twice}'; a manifest needs unique names")


def to_table(clips: Sequence[Clip]) -> pa.Table:
    """The clips as an Arrow table of `MANIFEST_SCHEMA`."""
    return pa.Table.from_pylist([asdict(clip) for clip in clips], schema=MANIFEST_SCHEMA)


def write_manifest(corpus: str | Place, clips: Sequence[Clip], keys: pa.Table | None = None) -> None:
    """Write the manifest of a corpus folder, whole or not at all.

    Parameters
    ----------
    keys
        Columns `KEY_FIELDS` of the clips, as `clip_keys.key_columns` gives them; without them, each later
        step lets workers read the ends of all files.

    Raises
    ------
    CicoError
        If two clips share a `video_id`, or a split is not one of train, validation, test.
    """
    seen: set[str] = set()
    for clip in clips:
        if clip.video_id in seen:
            raise CicoError(f"two clips are named '{clip.video_id}'; a manifest needs unique names")
        if clip.split not in SPLITS:
            raise CicoError(f"clip '{clip.video_id}': split '{clip.split}' is none of {', '.join(SPLITS)}")
        seen.add(clip.video_id)
    folder = place(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    table = to_table(clips)
    if keys is not None:
        for field in KEY_FIELDS:
            table = table.append_column(field, keys[field.name])
    table = table.replace_schema_metadata(versioned(table.schema).metadata)
    write_table(folder / MANIFEST_FILE, table, rows_per_group=ROWS_PER_GROUP)


def read_manifest(corpus: str | Place, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the manifest of a corpus folder, or some of its columns.

    Raises
    ------
    InputError
        If the folder holds no manifest, or one with other columns.
    """
    schema = MANIFEST_SCHEMA if columns is None else pa.schema([MANIFEST_SCHEMA.field(n) for n in columns])
    return pa.concat_tables([schema.empty_table(), *scan_manifest(corpus, schema.names)])


def scan_manifest(corpus: str | Place, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read a manifest in pieces of up to `ROWS_PER_GROUP` rows, in its order; raises as `read_manifest`."""
    schema = MANIFEST_SCHEMA if columns is None else pa.schema([MANIFEST_SCHEMA.field(n) for n in columns])
    path = place(corpus) / MANIFEST_FILE
    if not path.is_file():
        raise InputError(f"'{corpus}' holds no {MANIFEST_FILE}; make a corpus with 'cico corpus read'")
    try:
        with path.open("rb") as file:
            source = pq.ParquetFile(file)
            check_version(source.schema_arrow.metadata, path)
            known = [name for name in schema.names if name in source.schema_arrow.names]
            for batch in source.iter_batches(ROWS_PER_GROUP, columns=known):
                table = _completed(pa.Table.from_batches([batch]), schema)
                yield table.select(schema.names).cast(schema).replace_schema_metadata(None)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"'{path}' is not a manifest: {_first_line(error)}; make the corpus again"
        ) from error


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns that manifests of earlier versions do not have."""
    for name in LATER_COLUMNS:
        if name in schema.names and name not in table.column_names:
            field = MANIFEST_SCHEMA.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


class Corpus:
    """A corpus folder: its clips, where their files are, and what was put into quarantine."""

    def __init__(self, path: str | Place) -> None:
        self.path = place(path)

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all clips, in the manifest's order; see `read_manifest`."""
        return read_manifest(self.path, columns)

    def clips(
        self, split: str | None = None, labelled: bool | None = None, named: pa.Array | None = None
    ) -> Iterator[Clip]:
        """Read clips in the manifest's order, a piece of it at a time.

        Parameters
        ----------
        split
            Only this split.
        labelled
            True: only isolated signs (the dictionary). False: only sentences. None: both.
        named
            Only clips whose `video_id` is among these strings.

        Raises
        ------
        InputError
            See `read_manifest`.
        """
        for table in scan_manifest(self.path):
            yield from (Clip(**row) for row in _chosen(table, split, labelled, named).to_pylist())

    def clip(self, video_id: str) -> Clip | None:
        """Read one clip; None if the corpus has none of this name."""
        return next(self.clips(named=pa.array([video_id])), None)

    def sentences(self, split: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of a split's sentence clips, in the manifest's order; see `read_manifest`."""
        needed = list(dict.fromkeys((*columns, "split", "label")))
        pieces = (_chosen(table, split, False, None) for table in scan_manifest(self.path, needed))
        schema = pa.schema([MANIFEST_SCHEMA.field(name) for name in columns])
        return pa.concat_tables([schema.empty_table(), *(piece.select(list(columns)) for piece in pieces)])

    def count(self, split: str) -> int:
        """How many sentence clips a split has; see `read_manifest`."""
        return len(self.sentences(split, ["video_id"]))

    def resolve(self, clip: Clip) -> str:
        """The absolute path (or the URL) of a clip's file.

        Raises
        ------
        InputError
            If a relative path leaves the corpus folder.
        """
        return resolve_inside(self.path, clip.path)

    def info(self) -> dict[str, Any]:
        """What `corpus.json` says about the corpus: name, format, licence; empty where there is none."""
        path = self.path / INFO_FILE
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def quarantine(self, stage: str, rows: Iterable[dict[str, Any]]) -> int:
        """Replace what a stage has put into quarantine by these rows; returns how many.

        Parameters
        ----------
        stage
            The step's name; each stage owns one file.
        rows
            `{"video_id", "path", "reason"}`; further fields are kept.
        """
        listed = [
            {"video_id": "", "path": "", **row, "stage": stage, "reason": str(row["reason"])} for row in rows
        ]
        folder = self.path / QUARANTINE_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed)
        write_whole(folder / f"{stage}.jsonl", lines.encode())
        return len(listed)

    def quarantined(self, stage: str | None = None) -> list[dict[str, Any]]:
        """What is in quarantine, of one stage or of all."""
        files = matching(self.path / QUARANTINE_FOLDER, f"{stage or '*'}.jsonl")
        return [
            json.loads(line)
            for file in files
            for line in file.read_text(encoding="utf-8").split("\n")
            if line.strip()
        ]


def _chosen(table: pa.Table, split: str | None, labelled: bool | None, named: pa.Array | None) -> pa.Table:
    """Those rows of a piece of the manifest that are asked for."""
    if split is not None:
        table = table.filter(pc.equal(table["split"], split))
    if labelled is not None:
        table = table.filter(pc.is_valid(table["label"]) if labelled else pc.is_null(table["label"]))
    if named is not None:
        table = table.filter(pc.is_in(table["video_id"], value_set=named))
    return table


def resolve_inside(root: str | Place, path: str) -> str:
    """An absolute path or URL as it is; a relative one made absolute inside `root`.

    Raises
    ------
    InputError
        If a relative path leaves `root`.
    """
    if "://" in path or Path(path).is_absolute():
        return path
    try:
        resolved = inside(place(root), path)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"'{path}' is not a usable path: {_first_line(error)}") from error
    if resolved is None:
        raise InputError(f"'{path}' leads out of '{root}'; paths must stay inside")
    return absolute(resolved)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
