"""Ledgers: what became of each clip, stored beside the rows that were computed from it."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

DONE, QUARANTINED = "done", "quarantined"
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("clip_key", pa.string(), nullable=False),
        pa.field("outcome", pa.string()),
        pa.field("reason", pa.string()),
        # The clip's file, of quarantined clips only.
        pa.field("path", pa.string()),
        pa.field("windows", pa.int32()),
        pa.field("truncated", pa.bool_()),
        pa.field("short", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class LedgerRow:
    """Outcome of one clip.

    Attributes
    ----------
    clip_key
        Changes with what decides the clip's frames (`corpus.clip_keys`).
    outcome, reason, path
        `DONE`, or `QUARANTINED` with the reason and the file.
    windows
        Windows that were encoded.
    truncated, short
        Whether the clip's file breaks off in it, and whether its frames do not cover its interval.
    """

    video_id: str
    clip_key: str
    outcome: str
    reason: str | None = None
    path: str | None = None
    windows: int = 0
    truncated: bool = False
    short: bool = False


def ledger_table(rows: Sequence[LedgerRow]) -> pa.Table:
    """Return the rows as a table of `LEDGER_SCHEMA`."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=LEDGER_SCHEMA)


def pack_ledger(ledger: pa.Table) -> str:
    """Return a ledger as text for a Parquet footer: a compressed Arrow stream in base 64."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, LEDGER_SCHEMA, options=options) as writer:
        writer.write_table(ledger.cast(LEDGER_SCHEMA).combine_chunks())
    return base64.b64encode(sink.getvalue()).decode()


def unpack_ledger(packed: bytes) -> pa.Table:
    """Return the table that `pack_ledger` packed.

    Raises
    ------
    ValueError
        If it is something else.
    """
    return pa.ipc.open_stream(base64.b64decode(packed)).read_all().cast(LEDGER_SCHEMA)
