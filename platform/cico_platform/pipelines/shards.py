"""Shards of a pipeline's output: Parquet files that carry the ledger of their clips in the footer.

A worker writes what it computed as `shard-NAME.parquet`; NAME is a hash of the batch's clips and of the
config, so that a task that runs again writes the same file. Compaction joins shards to `part-NAME.parquet`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cico_platform.schemas.ledger import DONE, LEDGER_SCHEMA, pack_ledger, unpack_ledger
from cico_platform.schemas.version import VERSION_FIELD, check_version, versioned
from cico_platform.shard_output import OutputError, attempt, whole_file
from cico_platform.steps import content_key
from cico_platform.storage import Place, fresh, matching

SHARD, PART = "shard", "part"
# A version before wrote its batches under this name.
TAIL = "tail"
_LEDGER, _RECIPE, _ENCODING = b"ledger", b"recipe", b"encoding"
# Dictionaries of numbers only cost time. The upper bytes of half-precision numbers are alike: stored apart
# from the lower ones, zstd takes a quarter of the time, and 0.85 of the room of random numbers, not 0.92.
ENCODED_AS_DICTIONARY = ("video_id", "encoder_id", "label")
SPLIT_BYTES = "features"


@dataclass(frozen=True)
class ShardKind:
    """What all shards of an output have in common.

    Attributes
    ----------
    schema
        Of their rows; it has a column `video_id`, and the rows of a clip follow each other.
    recipe
        A name of everything but the clips that decides the rows: weights, settings.
    encoding
        For rows with features: a name of how they were computed (`EncodingSettings.encoding`).
    """

    schema: pa.Schema
    recipe: str
    encoding: str = ""

    def name(self, clips: Iterable[tuple[str, str]]) -> str:
        """Return the name of a shard of these clips, each a `video_id` and its key."""
        return content_key(recipe=self.recipe, clips=sorted(clips))


class DamagedShardError(OutputError):
    """A shard that was cut or overwritten: it has no footer that can be read."""


@dataclass(frozen=True)
class Footer:
    """What a shard's footer says: its ledger, and what made it (`ShardKind`)."""

    ledger: pa.Table
    recipe: str
    encoding: str


def shard_path(folder: Place, name: str, kind: str = SHARD) -> Place:
    """Return the file of a shard."""
    return folder / f"{kind}-{name}.parquet"


def shard_files(folder: Place) -> list[Place]:
    """Return the files of an output, parts first, each group in alphabetical order."""
    fresh(folder)
    return [path for kind in (PART, SHARD, TAIL) for path in matching(folder, f"{kind}-*.parquet")]


def write_shard(path: Place, kind: ShardKind, batches: Iterable[pa.Table], ledger: pa.Table) -> None:
    """Write a shard, whole or not at all; each batch of rows becomes a row group.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    about = {
        _LEDGER.decode(): pack_ledger(ledger),
        _RECIPE.decode(): kind.recipe,
        _ENCODING.decode(): kind.encoding,
    }
    encoded = [name for name in ENCODED_AS_DICTIONARY if name in kind.schema.names]
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": encoded}
    if SPLIT_BYTES in kind.schema.names:
        options["column_encoding"] = {f"{SPLIT_BYTES}.list.element": "BYTE_STREAM_SPLIT"}
    with (
        whole_file(path) as file,
        pq.ParquetWriter(file, versioned(kind.schema), **options) as writer,
    ):
        for batch in batches:
            if batch.num_rows:
                writer.write_table(batch.cast(kind.schema), row_group_size=batch.num_rows)
        writer.add_key_value_metadata(about)


def read_footer(path: Place) -> Footer | None:
    """Read what a shard's footer says; no row is read. None of a file that an earlier version wrote.

    Raises
    ------
    InputError
        If a later version wrote it.
    DamagedShardError
        If it has none, or half of one: its clips are computed again.
    OutputError
        If it cannot be read.
    """

    def read() -> dict[bytes, bytes]:
        try:
            with path.open("rb") as file:
                return dict(pq.read_metadata(file).metadata or {})
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, pa.ArrowInvalid) or "thrift" in str(error):
                raise DamagedShardError(f"'{path}' is damaged: {error}") from error
            raise

    metadata = attempt(path.parent, read)
    check_version(metadata, path)
    if _LEDGER not in metadata or VERSION_FIELD not in metadata:
        return None
    recipe, encoding = (metadata.get(name, b"").decode() for name in (_RECIPE, _ENCODING))
    try:
        return Footer(unpack_ledger(metadata[_LEDGER]), recipe, encoding)
    except ValueError as error:
        raise DamagedShardError(f"'{path}' is damaged: {error}") from error


def column_ledger(path: Place, keys: dict[str, str]) -> pa.Table:
    """Return the ledger of a file that an earlier version wrote, from its columns.

    Parameters
    ----------
    keys
        Keys of the folder's clips; clips that are not in it are left out.
    """

    def read() -> pa.Table:
        with path.open("rb") as file:
            source = pq.ParquetFile(file)
            known = [name for name in ("video_id", "truncated", "short") if name in source.schema_arrow.names]
            return source.read(columns=known)

    rows = {row["video_id"]: row for row in attempt(path.parent, read).to_pylist()}
    found = [
        {
            "video_id": name,
            "clip_key": keys[name],
            "outcome": DONE,
            "truncated": bool(row.get("truncated")),
            "short": bool(row.get("short")),
        }
        for name, row in rows.items()
        if name in keys
    ]
    return pa.Table.from_pylist(found, schema=LEDGER_SCHEMA)
