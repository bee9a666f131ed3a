"""Changes of a collection's points and tokens, in an order in which readers see one row of each clip.

Segment, points, commit with the replaced rows, old points. A reader shows only what lives in the token
store: it sees a clip's old row or its new one. What a cut change leaves (points whose rows do not live) is
not shown either; `settle` removes it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cico_platform.errors import InputError
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.points import Points
from cico_platform.index.token_store.records import SegmentInfo
from cico_platform.index.token_store.row_numbers import Rows, as_rows


def write_clips(points: Points, clips: Sequence[IndexedClip]) -> None:
    """Add clips, replacing those of the same names.

    Raises
    ------
    CicoError
        If a clip cannot be written, before anything is; or if the engine refuses a write.
    """
    table = points.tokens()
    wanted = {clip.video_id: clip for clip in clips}
    if not wanted:
        return
    for clip in wanted.values():
        if clip.tokens.ndim != 2 or clip.tokens.shape[1] != table.dim:
            raise InputError(f"clip '{clip.video_id}': tokens {clip.tokens.shape}, not [T, {table.dim}]")
    # Without their rows first: what can't be written is refused before anything is.
    made = points.make(list(wanted.values()))
    before = rows_of(points, list(wanted))
    segment = table.write(list(wanted.values()))
    commit_clips(points, segment, made, before)


def commit_clips(points: Points, segment: SegmentInfo, made: Any, before: Rows) -> None:
    """Make the clips of a written segment visible.

    Parameters
    ----------
    made
        Their points, in the order of the segment (`Points.make`).
    before
        Rows that clips of these names have: they are replaced.
    """
    rows = segment.row_numbers()
    points.upsert(made, rows)
    # A run that was cut may have written the same rows already.
    replaced = before[~np.isin(before, rows)]
    points.tokens().commit(segment, replaced)
    points.delete_rows(replaced)


def rows_of(points: Points, video_ids: Sequence[str]) -> Rows:
    """The ids of all points that these clips have."""
    return as_rows([record.row for page in points.of_clips(video_ids, ()) for record in page])


def delete_named(points: Points, video_ids: Sequence[str]) -> None:
    """Delete clips by their names."""
    delete_rows(points, rows_of(points, video_ids))


def delete_filtered(points: Points, filters: Filters) -> None:
    """Delete the clips that pass filters."""
    delete_rows(points, points.rows(filters))


def settle(points: Points) -> None:
    """Delete points whose rows do not live, and let rows die that have no point: what cut changes have left.

    Segments that were written and never committed are removed.

    No other process may write to the collection meanwhile.

    Raises
    ------
    CicoError
        If the tokens of a point are not in the folder.
    """
    table = points.tokens()
    if points.count(None) != table.count():
        living, held = table.living(), points.rows(None)
        table.mark_dead(living[~np.isin(living, held)])
        points.delete_rows(held[~points.living(held)])
    # Now that no point names a row of theirs.
    table.sweep()


def erase_deleted(points: Points) -> None:
    """Erase the tokens of deleted and replaced clips, and of cut changes, from the files.

    No other process may write to the collection meanwhile.
    """
    settle(points)
    points.tokens().erase()


def delete_rows(points: Points, rows: Rows) -> None:
    """Delete clips by their rows."""
    points.tokens().mark_dead(rows)
    points.delete_rows(rows)
