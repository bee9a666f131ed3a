"""Errors of the token store."""

from collections.abc import Sequence

from cico_platform.errors import CicoError


class DamagedFileError(CicoError):
    """A file of a store is missing, truncated, or not what was written."""


class ConflictError(CicoError):
    """Another process changed the store in a way that does not go together with this change."""


class NoRoomError(CicoError):
    """The local cache is full of segments that are in use."""


class DeadRowsError(CicoError):
    """Rows were asked for that are dead or that the store does not hold.

    Attributes
    ----------
    rows
        Their numbers.
    """

    def __init__(self, place: str, rows: Sequence[int]) -> None:
        self.rows = list(rows)
        shown = ", ".join(str(row) for row in self.rows[:5]) + (", …" if len(self.rows) > 5 else "")
        super().__init__(f"{len(self.rows)} rows of the token store '{place}' hold no living clip: {shown}")
