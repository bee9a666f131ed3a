"""Changes of a collection's points and tokens, in an order in which readers see one row of each clip.

Segment, points, commit with the replaced rows, old points. A reader shows only what lives in the token
store: it sees a clip's old row or its new one. What a cut change leaves (points whose rows do not live) is
not shown either; `settle` removes it.
"""

from collections.abc import Sequence

import numpy as np
from qdrant_client import grpc as messages

from cico_platform.index.clips import IndexedClip
from cico_platform.index.server_messages import NO_PAYLOAD, batches, clip_point
from cico_platform.index.server_points import ServerPoints
from cico_platform.index.token_store.row_numbers import Rows, as_rows


def write_clips(points: ServerPoints, clips: Sequence[IndexedClip], batch_bytes: int) -> None:
    """Add clips, replacing those of the same names.

    Raises
    ------
    CicoError
        If a clip cannot be sent, before anything is written; or if the server refuses a request.
    """
    known, table = points.collection, points.collection.tokens()
    wanted = {clip.video_id: clip for clip in clips}
    if not wanted:
        return
    # Without their rows first: what can't be sent is refused before anything is written.
    made = [clip_point(0, clip, known.quantised) for clip in wanted.values()]
    sent = list(batches(made, batch_bytes, known.limits.upserts))
    before = as_rows([row for rows in points.rows_of(list(wanted)).values() for row in rows])
    segment = table.write(list(wanted.values()))
    rows = segment.row_numbers()
    for point, row in zip(made, rows.tolist(), strict=True):
        point.id.num = row
    for batch in sent:
        points.upsert(batch)
    # A run that was cut may have sent the same rows already.
    replaced = before[~np.isin(before, rows)]
    table.commit(segment, replaced)
    points.delete_rows(replaced)


def delete_named(points: ServerPoints, video_ids: Sequence[str]) -> None:
    """Delete clips by their names."""
    held = points.rows_of(video_ids).values()
    points.collection.tokens().mark_dead(as_rows([row for rows in held for row in rows]))
    points.delete_clips(video_ids)


def delete_filtered(points: ServerPoints, only: messages.Filter) -> None:
    """Delete the clips that pass a filter."""
    rows = _listed(points, only)
    points.collection.tokens().mark_dead(rows)
    points.delete_rows(rows)


def settle(points: ServerPoints) -> None:
    """Delete points whose rows do not live, and let rows die that have no point: what cut changes have left.

    No other process may write to the collection meanwhile.

    Raises
    ------
    CicoError
        If the tokens of a point are not in the folder.
    """
    table = points.collection.tokens()
    if points.count(None) == table.count():
        return
    living = table.living()
    held = _listed(points, None)
    table.mark_dead(living[~np.isin(living, held)])
    points.delete_rows(held[~points.living(held)])


def erase_deleted(points: ServerPoints) -> None:
    """Erase the tokens of deleted and replaced clips, and of cut changes, from the files.

    No other process may write to the collection meanwhile.
    """
    settle(points)
    points.collection.tokens().erase()


def _listed(points: ServerPoints, only: messages.Filter | None) -> Rows:
    return as_rows([point.id.num for point in points.scroll(only, NO_PAYLOAD)])
