"""The packets of a video track in the order of the file, and where their timestamps start anew."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import fsspec
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.container import Video, open_video
from cico_platform.corpus.limits import ClipError, Deadline, DecodeLimits

# A timestamp that a packet does not have.
NONE = -(1 << 62)
# The clock of a player goes on where decoding timestamps jump back, or ahead by so many seconds.
AHEAD_SECONDS = 10.0
# Of the containers whose timestamps may start anew in the middle.
JUMPING = {"mpegts", "mpeg", "ogg"}
# Tables that are kept, so that the clips of one file share one pass over it.
TABLES_KEPT = 8

Numbers = NDArray[np.int64]


class SteadyClock:
    """Timestamps that go on where those of concatenated streams start anew.

    Packets are shown to `shift` in the order of the file; what it returns is to be added to their timestamps.
    """

    def __init__(self, video: Video) -> None:
        self.step = max(1, round(1 / (video.rate * video.tick)))
        self.ahead = round(AHEAD_SECONDS / video.tick) if video.names & JUMPING else None
        self.jumps = 0
        self._last: int | None = None
        self._top: int | None = None
        self._shift = 0

    def shift(self, packet: Any) -> int:
        """Return the seconds to add to the timestamps of the packet."""
        shown = packet.pts if packet.pts is not None else packet.dts
        if shown is None:
            return self._shift
        if packet.dts is not None:
            if self._last is not None and self._jumps(packet.dts - self._last):
                self._shift = (self._top or 0) - shown
                self.jumps += 1
            self._last = packet.dts
        step = packet.duration or self.step
        self._top = max(NONE if self._top is None else self._top, shown + self._shift + step)
        return self._shift

    def _jumps(self, change: int) -> bool:
        return change < -3 * self.step or (self.ahead is not None and change > self.ahead)


@dataclass(frozen=True)
class PacketTable:
    """One row a packet that holds a frame, in the order of the file.

    Attributes
    ----------
    pts, dts
        int64 [P], in units of the track's time base, as the file has them; NONE where it has none.
    shift
        int64 [P]: what `SteadyClock` adds to them.
    key
        bool [P]: whether decoding may start here.
    position
        int64 [P]: byte in the file; -1 where it is not known.
    size
        int64 [P]: bytes.
    """

    pts: Numbers
    dts: Numbers
    shift: Numbers
    key: NDArray[np.bool_]
    position: Numbers
    size: Numbers

    def __len__(self) -> int:
        return len(self.pts)

    def stamp(self, packet: Any, number: int) -> Any:
        """The packet with the timestamps of that number: after a seek a container may not know them."""
        if packet.size and number < len(self):
            shift = int(self.shift[number])
            packet.pts, packet.dts = (
                None if stamps[number] == NONE else int(stamps[number]) + shift
                for stamps in (self.pts, self.dts)
            )
        return packet

    @property
    def jumps(self) -> bool:
        """Whether timestamps start anew in the middle."""
        return len(self) > 0 and bool((self.shift != self.shift[0]).any())

    @property
    def stamped(self) -> bool:
        """Whether there are key frames, and all of them say when they are shown."""
        return bool(self.key.any() and (self.pts[self.key] != NONE).all())


def packets(video: Video, deadline: Deadline) -> Iterator[Any]:
    """The packets of the track from where the container stands, and last the one that empties the decoder.

    Packets without data, which tell that a frame is repeated, are left out.
    """
    for packet in video.container.demux(video.stream):
        deadline.check()
        if packet.size or packet.dts is None:
            yield packet


def packet_table(
    path: str, limits: DecodeLimits, deadline: Deadline, options: tuple[tuple[str, str], ...] = ()
) -> PacketTable:
    """The packets of a video, from one pass over the file that decodes nothing; kept for the next clip.

    Raises
    ------
    ClipError
        If the file cannot be read, or takes longer than the limits allow.
    """
    key = (path, options, _version(path))
    if key in _tables:
        _tables.move_to_end(key)
        return _tables[key]
    table = _tables[key] = _scan(path, limits, deadline, options)
    while len(_tables) > TABLES_KEPT:
        _tables.popitem(last=False)
    return table


_tables: OrderedDict[tuple[Any, ...], PacketTable] = OrderedDict()


def _version(path: str) -> tuple[Any, ...]:
    if "://" in path:
        filesystem, inner = fsspec.core.url_to_fs(path)
        return (filesystem.info(inner).get("size"),)
    try:
        found = Path(path).stat()
    except OSError as error:
        raise ClipError("the file does not exist") from error
    return found.st_size, found.st_mtime_ns, found.st_ino


def _scan(
    path: str, limits: DecodeLimits, deadline: Deadline, options: tuple[tuple[str, str], ...]
) -> PacketTable:
    rows: list[tuple[int, int, int, bool, int, int]] = []
    with open_video(path, limits, dict(options)) as video:
        clock = SteadyClock(video)
        try:
            for packet in packets(video, deadline):
                if not packet.size:
                    continue
                pts = NONE if packet.pts is None else packet.pts
                dts = NONE if packet.dts is None else packet.dts
                at = -1 if packet.pos is None else packet.pos
                rows.append((pts, dts, clock.shift(packet), packet.is_keyframe, at, packet.size))
        except (av.FFmpegError, OSError, ValueError):  # the file breaks off here; decoding will tell
            pass
    columns = np.array(rows, dtype=np.int64).reshape(-1, 6).T
    return PacketTable(columns[0], columns[1], columns[2], columns[3].astype(bool), columns[4], columns[5])
