"""Where each point's tokens lie in the token file: known without asking the engine for payloads."""

import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np

from cico_platform.index.token_file import Place

RECORD = np.dtype([("point", "V16"), ("first", "<i8"), ("count", "<i4")])


class TokenPlaces:
    """Ids of points and places, appended to a file, and all of them in memory.

    A search ranks hundreds of clips for the ten that it shows; reading a payload takes 20 microseconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        whole = path.stat().st_size // RECORD.itemsize * RECORD.itemsize
        if whole != path.stat().st_size:  # a process died while it appended
            os.truncate(path, whole)
        known = np.fromfile(path, RECORD)
        # By the ids' numbers: to look a UUID up takes four times as long.
        self._places: dict[int, Place] = {
            int.from_bytes(point): (first, count)
            for point, first, count in zip(
                known["point"].tolist(), known["first"].tolist(), known["count"].tolist(), strict=True
            )
        }

    def __getitem__(self, point: UUID) -> Place:
        return self._places[point.int]

    def add(self, points: Sequence[UUID], places: Sequence[Place]) -> None:
        """Write where these points' tokens lie; returns once that is on disk. The last word counts."""
        rows = [(point.bytes, *place) for point, place in zip(points, places, strict=True)]
        with self.path.open("ab") as file:
            file.write(np.array(rows, RECORD).tobytes())
            file.flush()
            os.fsync(file.fileno())
        self._places.update(zip((point.int for point in points), places, strict=True))
