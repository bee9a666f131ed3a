"""Rows of a manifest, read by number: a worker reads the row groups and columns that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cico_platform.corpus.clip_keys import FileFacts, clip_key, facts_of, unchanged
from cico_platform.corpus.manifest import MANIFEST_FILE, Corpus
from cico_platform.errors import InputError
from cico_platform.schemas.clips import KEY_FIELDS, MANIFEST_SCHEMA
from cico_platform.storage import Place, is_remote, place, remote_version

Rows = NDArray[np.int64]
# A manifest that another program wrote may be one row group: it is kept while its blocks are worked through.
GROUPS_HELD = 2
SOURCE_COLUMNS = ("video_id", "path", "start", "end", "crop", "truncated", "short")
KEY_COLUMNS = ("path", "start", "end", "crop", "file_version", "file_size", "file_time")
_FIELDS = {field.name: field for field in (*MANIFEST_SCHEMA, *KEY_FIELDS)}


@dataclass(frozen=True)
class _File:
    """A manifest's file, with what changes when it does."""

    path: str
    version: str


def manifest_rows(corpus: str | Place, rows: Rows, columns: Sequence[str]) -> pa.Table:
    """Read some columns of these rows, in this order; columns that the manifest lacks are null.

    Raises
    ------
    InputError
        If there is no such manifest, it has fewer rows, or one lacks a value that every clip has.
    """
    path = place(corpus) / MANIFEST_FILE
    try:
        local = None if is_remote(path) else path.stat()
        version = f"{local.st_mtime_ns}-{local.st_size}" if local else remote_version(str(path))
        file = _File(str(path), version)
        ends = np.array(_group_ends(file), dtype=np.int64)
        if len(rows) and rows.max() >= ends[-1]:
            raise InputError(f"'{path}' changed while it was read; run the same command again")
        groups = np.searchsorted(ends, rows, side="right")
        tables, order = [], []
        for group in np.unique(groups).tolist():
            own = np.flatnonzero(groups == group)
            first = ends[group - 1] if group else 0
            tables.append(_group(file, group, tuple(columns)).take(pa.array(rows[own] - first)))
            order.append(own)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"'{path}' cannot be read: {error}; make the corpus again") from error
    if not tables:
        return pa.schema([_FIELDS[name] for name in columns]).empty_table()
    back = np.argsort(np.concatenate(order), kind="stable")
    return pa.concat_tables(tables).take(pa.array(back)).combine_chunks()


@lru_cache(maxsize=8)
def _group_ends(file: _File) -> tuple[int, ...]:
    with place(file.path).open("rb") as opened:
        found = pq.read_metadata(opened)
    sizes = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
    return tuple(np.cumsum([0, *sizes])[1:].tolist()) or (0,)


@lru_cache(maxsize=GROUPS_HELD)
def _group(file: _File, group: int, columns: tuple[str, ...]) -> pa.Table:
    with place(file.path).open("rb") as opened:
        source = pq.ParquetFile(opened)
        known = [name for name in columns if name in source.schema_arrow.names]
        table = source.read_row_group(group, columns=known)
    fields = [_FIELDS[name] for name in columns]
    arrays = [
        table[field.name].cast(field.type) if field.name in known else pa.nulls(len(table), field.type)
        for field in fields
    ]
    for field, array in zip(fields, arrays, strict=True):
        if array.null_count and not field.nullable:
            raise pa.ArrowInvalid(f"a row has no '{field.name}'")
    nullable = [pa.field(field.name, field.type) for field in fields]
    return pa.table(arrays, schema=pa.schema(nullable))


@dataclass(frozen=True)
class _KeyRows:
    """The inputs of the keys of some clips.

    Attributes
    ----------
    clips
        Path, start, end and box of each clip.
    known
        By path: the facts that the manifest has about the file, None where it has none.
    """

    clips: list[tuple[str, float | None, float | None, list[float] | None]]
    known: dict[str, FileFacts | None]

    def keys(self, versions: Mapping[str, str]) -> pa.StringArray:
        """The keys, null where a path has no version here."""
        found = [
            clip_key(versions[path], start, end, crop) if path in versions else None
            for path, start, end, crop in self.clips
        ]
        return pa.array(found, pa.string())


def _key_rows(corpus: str | Place, rows: Rows) -> _KeyRows:
    table = manifest_rows(corpus, rows, KEY_COLUMNS).to_pydict()
    known: dict[str, FileFacts | None] = {}
    facts = zip(*(table[name] for name in KEY_COLUMNS[4:]), strict=True)
    for path, (version, size, time) in zip(table["path"], facts, strict=True):
        if known.get(path) is None:
            known[path] = None if version is None else FileFacts(version, size, time)
    return _KeyRows(list(zip(*(table[name] for name in KEY_COLUMNS[:4]), strict=True)), known)


def known_facts(corpus: str | Place) -> dict[str, FileFacts | None]:
    """Return what a manifest knows of each file, by its path: None where it was not looked at.

    Raises
    ------
    InputError
        If there is no manifest.
    """
    return _key_rows(corpus, np.arange(len(Corpus(corpus).table(["video_id"])))).known


def keys_now(corpus: str | Place, rows: Rows) -> pa.StringArray:
    """Return the keys of these rows' clips as their files are now.

    Only files that the manifest does not know, or knows with another size or modification time, are opened.
    """
    found = _key_rows(corpus, rows)
    facts = facts_of(place(corpus), found.known)
    return found.keys({path: each.version for path, each in facts.items()})


def keys_of_unchanged(corpus: str | Place, rows: Rows) -> pa.StringArray:
    """Return the keys of clips whose files have the size and time that the manifest knows, null of others.

    No file is opened.
    """
    found, root = _key_rows(corpus, rows), place(corpus)
    same = {
        path: known.version for path, known in found.known.items() if known and unchanged(root, path, known)
    }
    return found.keys(same)
