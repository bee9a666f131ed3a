"""TensorBoard's event files: written by tensorboardX, and read back so that a resumed run repeats nothing."""

import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PATTERN = "events.out.tfevents.*"
# A record is a length with its checksum, that many bytes, and their checksum (the format of TFRecord).
HEADER, FOOTER_BYTES = struct.Struct("<QI"), 4


class Scalar(NamedTuple):
    """One point of a curve."""

    name: str
    step: int
    value: float


class EventFiles:
    """A new event file in a folder; files of earlier runs stay, TensorBoard shows them as one run.

    tensorboardX's `SummaryWriter` writes from a thread, whose queue a kill loses and no flush waits for, and
    names files by the second, so that a run that starts again at once would overwrite: hence its parts.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")

    def write(self, figures: Mapping[str, float], step: int, seconds: float | None = None) -> None:
        """Write the figures of a step; they are on the disk when this returns."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for name, value in figures.items():
            event = Event(wall_time=seconds or time.time(), step=step, summary=scalar(name, value))
            self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def read_scalars(folder: Path) -> Iterator[Scalar]:
    """All scalars of a folder's event files, file by file; a record that a kill has cut ends its file."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob(PATTERN)):
        for record in _records(path):
            event = Event.FromString(record)
            for value in event.summary.value:
                yield Scalar(value.tag, int(event.step), float(value.simple_value))


def last_steps(folder: Path) -> dict[str, int]:
    """The last step of each curve of a folder."""
    last: dict[str, int] = {}
    for scalar in read_scalars(folder):
        last[scalar.name] = max(scalar.step, last.get(scalar.name, scalar.step))
    return last


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while len(header := file.read(HEADER.size)) == HEADER.size:
            length, _ = HEADER.unpack(header)
            record = file.read(length + FOOTER_BYTES)
            if len(record) < length + FOOTER_BYTES:
                return
            yield record[:length]
