"""The frames of a video in the order in which they are shown, each with its time, from any moment on."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.container import RAW, Video, open_video
from cico_platform.corpus.limits import Deadline, DecodeLimits
from cico_platform.corpus.packet_table import NONE, PacketTable, SteadyClock, packet_table, packets

EPSILON = 1e-6
# Less than this from the beginning is decoded from there.
SEEK_MARGIN = 0.5
# How far before a moment a seek aims, try after try; after the last the file is read from its start.
BACK_OFF = (0.0, 2.0, 10.0, 40.0)
# Containers that cannot seek to a key frame by time, or whose timestamps may start anew.
SCANNED = {"mpegts", "mpeg", "avi"} | RAW
# Containers that do not say when a frame is shown, but in which order frames are decoded, at a constant rate.
COUNTED = {"avi"} | RAW
# No codec shows a frame so many frames before it was stored.
MOST_REORDERED = 16
# Frames by which the timestamps of a program stream may stray from its rate.
MOST_APART = 3.5


class SourceFacts(NamedTuple):
    """Frames a second that a file declares, and the names of its container's format."""

    rate: float
    names: frozenset[str]


class Timed(NamedTuple):
    """A frame of PyAV and what is known of it.

    Attributes
    ----------
    time, duration
        Seconds: when it appears on the player's clock, and how long it lasts; 0 where that is not known.
    aspect
        Width of a pixel over its height.
    source
        The file that it is from.
    """

    time: float
    duration: float
    frame: Any
    aspect: Fraction
    source: SourceFacts


class _Frames:
    """Makes `Timed` of the frames of a video, which may be used when the video is closed."""

    def __init__(self, video: Video) -> None:
        self.video, self.source = video, SourceFacts(video.rate, frozenset(video.names))
        self.aspect: Fraction | None = None

    def timed(self, moment: float, duration: float, frame: Any) -> Timed:
        if self.aspect is None or frame.key_frame:
            self.aspect = self.video.pixel_aspect
        return Timed(round(moment, 9), duration, frame, self.aspect, self.source)


class _Late(Exception):  # noqa: N818 - not an error: another try follows
    """The first frame after a seek is later than the requested time."""


def timed_frames(path: str, start: float | None, limits: DecodeLimits, deadline: Deadline) -> Iterator[Timed]:
    """Decode the video that players show from `start` on.

    The first frame is the one that is shown at `start` or one before it, unless the picture begins later. A
    frame is never missing between the first and the last.

    Parameters
    ----------
    path
        A file, or a URL that fsspec opens.
    start
        Seconds on the player's clock, which shows 0 where the container starts; None: from the beginning.

    Raises
    ------
    ClipError
        If it is no video, or a limit is exceeded.
    av.FFmpegError, ValueError, MemoryError
        If the file is damaged; what came before is good.
    """
    for back in (*BACK_OFF, None):
        with open_video(path, limits) as video:
            moment = _aim(video, start, back)
            counts = is_counted(video) or "mpeg" in video.names
            scanned = counts or (moment is not None and bool(video.names & SCANNED))
            table = packet_table(path, limits, deadline) if scanned else None
            times = counted_times(video, table) if table is not None and counts else None
            try:
                if table is not None and times is not None:
                    frames = _counted(video, table, times, moment, deadline)
                elif moment is None:
                    frames = _stamped(video, packets(video, deadline))
                elif table is not None:
                    frames = _scanned(video, table, moment, deadline)
                else:
                    frames = _sought(video, moment, deadline)
                yield from frames if moment is None else _in_time(frames, start)
            except _Late:
                continue
            return


def _aim(video: Video, start: float | None, back: float | None) -> float | None:
    """The moment to look for a key frame before; None: the beginning."""
    if start is None or back is None or start - back < _begin(video) + SEEK_MARGIN:
        return None
    return start - back


def is_counted(video: Video) -> bool:
    """Whether frames have their times from their number: the container does not say when they are shown."""
    if "asf" in video.names:
        return bool(video.stream.codec_context.has_b_frames)
    return bool(video.names & COUNTED)


def counted_times(video: Video, table: PacketTable) -> NDArray[np.float64] | None:
    """When the frames of a video are shown, in that order, if their number tells better than timestamps do.

    A program stream stamps few of its frames. Where these go on at the declared rate, the others do, too.
    """
    dts, count = table.dts, len(table)
    if is_counted(video):
        if not count or (dts == NONE).any() or not video.names & {"avi", "asf"}:
            return np.arange(count) / video.rate
        ordered = np.sort(dts) * video.tick
        return np.asarray(ordered - min(video.start, float(ordered[0])))
    known = (table.pts + table.shift)[table.pts != NONE]
    if "mpeg" not in video.names or len(known) < count or not count:
        return None
    shown = np.sort(known) * video.tick - video.start
    even = shown[0] + np.arange(count) / video.rate
    return even if np.abs(shown - even).max() <= MOST_APART / video.rate else None


def _begin(video: Video) -> float:
    """When the picture begins, in seconds on the player's clock."""
    first = video.stream.start_time
    return 0.0 if first is None else first * video.tick - video.start


def _sought(video: Video, moment: float, deadline: Deadline) -> Iterator[Timed]:
    """Frames from the key frame before a moment, where the container finds it."""
    target = moment + video.start + EPSILON
    try:
        video.container.seek(int(target / video.tick), stream=video.stream, backward=True)
    except av.FFmpegError as error:
        raise _Late from error
    found = packets(video, deadline)
    first = next((packet for packet in found if packet.is_keyframe and packet.size), None)
    if first is None or first.pts is None or first.pts * video.tick > target:
        raise _Late
    return _stamped(video, chain([first], found))


def _in_time(frames: Iterator[Timed], start: float | None) -> Iterator[Timed]:
    """The frames, once the first is known not to be late."""
    first = next(frames, None)
    if first is None or (start is not None and first.time > start + EPSILON):
        raise _Late
    return chain([first], frames)


def _scanned(video: Video, table: PacketTable, moment: float, deadline: Deadline) -> Iterator[Timed]:
    """Frames from the key frame before a moment, by a table of all packets."""
    shown = (table.pts + table.shift) * video.tick - video.start
    keys = np.flatnonzero(table.key & (shown <= moment + EPSILON))
    if not len(keys) or not table.stamped:
        raise _Late
    return _stamped(video, _packets_from(video, table, int(keys[-1]), deadline))


def _packets_from(video: Video, table: PacketTable, number: int, deadline: Deadline) -> Iterator[Any]:
    """The packets of the track from that number on; their timestamps are those of the steady clock."""
    found = packets(video, deadline)
    if table.jumps or table.dts[number] == NONE:
        first = next(islice(found, number, None), None)
    else:
        wanted = int(table.dts[number])
        video.container.seek(wanted, stream=video.stream, backward=True)
        found = packets(video, deadline)
        first = next((p for p in found if p.dts is not None and p.dts >= wanted), None)
        if first is None or first.dts != wanted or first.size != table.size[number]:
            raise _Late
    if first is not None:
        yield from (table.stamp(packet, at) for at, packet in enumerate(chain([first], found), number))


def _stamped(video: Video, found: Iterator[Any]) -> Iterator[Timed]:
    """Frames of packets by their timestamps; a frame without one follows the last."""
    clock, frames, step = SteadyClock(video), _Frames(video), 1 / video.rate
    last: float | None = None
    for frame in _decoded(found, clock):
        duration = (frame.duration or 0) * video.tick
        if frame.pts is not None:
            moment = frame.pts * video.tick - video.start
        else:
            moment = -step if last is None else last + step
        last = moment if last is None else max(last, moment)
        yield frames.timed(last, duration, frame)


def _decoded(found: Iterator[Any], clock: SteadyClock | None = None) -> Iterator[Any]:
    """The frames of packets. What cannot be decoded before the first frame is passed over."""
    begun = False
    for packet in found:
        shift = clock.shift(packet) if clock is not None and packet.size else 0
        if shift:
            packet.pts, packet.dts = (None if t is None else t + shift for t in (packet.pts, packet.dts))
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            if begun:
                raise
            continue
        for frame in frames:
            begun = True
            yield frame


def _counted(
    video: Video, table: PacketTable, times: NDArray[np.float64], moment: float | None, deadline: Deadline
) -> Iterator[Timed]:
    """Frames by their number among those that are shown, from the beginning or from before a moment.

    How many frames that follow a key frame in the file are shown before it is only known once it is decoded
    with the frames before it: that tells its number. So decoding begins one key frame earlier.
    """
    frames, number = _Frames(video), None
    entry, anchor = 0, 0
    if moment is not None:
        shown = int(np.searchsorted(times, moment + EPSILON, side="right")) - 1
        keys = np.flatnonzero(table.key[: max(shown - MOST_REORDERED, 0)])
        if len(keys) < 2:
            raise _Late
        entry, anchor = int(keys[-2]), int(keys[-1])
    video.stream.codec_context.copy_opaque = True
    followers = 0
    for frame in _decoded(_numbered(video, table, entry, deadline)):
        if number is not None:
            number += 1
        elif moment is None:
            number = _first_number(video, times, frame)
        elif frame.opaque == anchor:
            number = anchor + followers
        else:
            followers += frame.opaque is not None and frame.opaque > anchor
            continue
        time = times[number] if number < len(times) else times[-1] + 1 / video.rate
        yield frames.timed(float(time), 0.0, frame)


def _first_number(video: Video, times: NDArray[np.float64], frame: Any) -> int:
    """The number of the first frame; those before it may miss what they refer to."""
    if is_counted(video) or frame.pts is None:
        return 0
    return max(0, round(float(frame.pts * video.tick - video.start - float(times[0])) * video.rate))


def _numbered(video: Video, table: PacketTable, first: int, deadline: Deadline) -> Iterator[Any]:
    """The packets from a number on, which they carry."""
    for number, packet in enumerate(packets(video, deadline)):
        if number >= first:
            if packet.size:
                packet.opaque = number
            yield table.stamp(packet, number)
