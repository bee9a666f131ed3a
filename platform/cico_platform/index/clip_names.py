"""Names and keys of a collection's clips as Arrow columns: what is there, and what should be."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cico_platform.index.token_store.gathering import CLIPS_SCHEMA
from cico_platform.index.token_store.row_numbers import Rows

# Clips by name, and by the key that changes with what is known of one.
NAMES_SCHEMA = pa.schema([CLIPS_SCHEMA.field(name) for name in ("video_id", "clip_key")])


class Difference(NamedTuple):
    """How a collection differs from what it should hold.

    Attributes
    ----------
    surplus
        Rows of clips that it should not hold, hold otherwise, or hold once: uint64 [n].
    missing
        Names of clips that it does not hold.
    """

    surplus: Rows
    missing: pa.StringArray


def joined(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Return tables as one, in one chunk."""
    return (
        pa.concat_tables([schema.empty_table(), *(table.select(schema.names) for table in tables)])
        .cast(schema)
        .combine_chunks()
    )


def last_of_each(names: pa.Table) -> pa.Table:
    """Return a table of `NAMES_SCHEMA` with the last row of each name."""
    known = _column(names, "video_id")
    return names.take(pa.array(np.sort(_last(np.asarray(pc.index_in(known, value_set=pc.unique(known)))))))


def difference(held: pa.Table, wanted: pa.Table) -> Difference:
    """Compare a collection with what it should hold.

    Of rows with the same name and key the last one is right.

    Parameters
    ----------
    held
        Of `CLIPS_SCHEMA`, in the order in which segments were added.
    wanted
        Of `NAMES_SCHEMA`, each name once.
    """
    names, keys = _column(wanted, "video_id"), _column(wanted, "clip_key")
    found = pc.index_in(_column(held, "video_id"), value_set=names)
    same = np.asarray(pc.fill_null(pc.equal(keys.take(found), _column(held, "clip_key")), False))
    positions = np.where(same, np.asarray(pc.fill_null(found, -1)), -1).astype(np.int64)
    right = _last(positions)
    right = right[positions[right] >= 0]
    is_right = np.zeros(len(held), bool)
    is_right[right] = True
    is_there = np.zeros(len(wanted), bool)
    is_there[positions[right]] = True
    return Difference(_column(held, "row").to_numpy()[~is_right], names.filter(pa.array(~is_there)))


def _last(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the index of the last occurrence of each value."""
    _, first = np.unique(values[::-1], return_index=True)
    last: NDArray[np.int64] = len(values) - 1 - first
    return last


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
