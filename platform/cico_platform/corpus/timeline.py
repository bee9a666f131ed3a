"""The frames of a video in the order in which they are shown, each with its time, from any moment on."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.container import Video, open_video
from cico_platform.corpus.limits import Deadline, DecodeLimits
from cico_platform.corpus.packet_table import NONE, PacketTable, SteadyClock, packet_table, packets

EPSILON = 1e-6
# Less than this from the beginning is decoded from there.
SEEK_MARGIN = 0.5
# How far before a moment a seek aims, try after try; after the last the file is read from its start.
BACK_OFF = (0.0, 2.0, 10.0, 40.0)
# Containers that cannot seek to a key frame by time, or whose timestamps may start anew.
SCANNED = {"mpegts", "mpeg", "avi", "h264", "hevc", "m4v", "mpegvideo"}
# Containers that do not say when a frame is shown, but in which order frames are decoded, at a constant rate.
COUNTED = {"avi", "h264", "hevc", "m4v", "mpegvideo"}
# No codec shows a frame so many frames before it was stored.
MOST_REORDERED = 16


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
    """What came first after a seek is later than what was asked for."""


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
            from_start = back is None or start is None or start - back < _begin(video) + SEEK_MARGIN
            try:
                if from_start or start is None or back is None:
                    yield from _from_start(video, deadline)
                elif video.names & SCANNED or is_counted(video):
                    table = packet_table(path, limits, deadline)
                    yield from _scanned(video, table, start, back, deadline)
                else:
                    yield from _sought(video, start, back, deadline)
            except _Late:
                continue
            return


def is_counted(video: Video) -> bool:
    """Whether frames have their times from their number: the container does not say when they are shown."""
    if "asf" in video.names:
        return bool(video.stream.codec_context.has_b_frames)
    return bool(video.names & COUNTED)


def counted_times(video: Video, dts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The times of all frames in the order in which they are shown, by their packets' decoding timestamps."""
    if not len(dts) or (dts == NONE).any() or not _tells_order(video):
        return np.arange(len(dts)) / video.rate
    ordered = np.sort(dts) * video.tick
    return np.asarray(ordered - min(video.start, float(ordered[0])))


def _tells_order(video: Video) -> bool:
    """Whether decoding timestamps tell when there is a new frame, of whatever number."""
    return bool(video.names & {"avi", "asf"})


def _begin(video: Video) -> float:
    """When the picture begins, in seconds on the player's clock."""
    first = video.stream.start_time
    return 0.0 if first is None else first * video.tick - video.start


def _from_start(video: Video, deadline: Deadline) -> Iterator[Timed]:
    if is_counted(video):
        return _counted(video, packets(video, deadline))
    return _stamped(video, packets(video, deadline))


def _sought(video: Video, start: float, back: float, deadline: Deadline) -> Iterator[Timed]:
    """Frames from the key frame before `start`, where the container finds it."""
    target = start - back + video.start
    try:
        video.container.seek(int((target + EPSILON) / video.tick), stream=video.stream, backward=True)
    except av.FFmpegError as error:
        raise _Late from error
    found = packets(video, deadline)
    first = next((packet for packet in found if packet.is_keyframe and packet.size), None)
    if first is None or first.pts is None or first.pts * video.tick > start + video.start + EPSILON:
        raise _Late
    return _in_time(_stamped(video, chain([first], found)), start)


def _in_time(frames: Iterator[Timed], start: float) -> Iterator[Timed]:
    """The frames, once the first is known not to be late."""
    first = next(frames, None)
    if first is None or first.time > start + EPSILON:
        raise _Late
    return chain([first], frames)


def _scanned(
    video: Video, table: PacketTable, start: float, back: float, deadline: Deadline
) -> Iterator[Timed]:
    """Frames from the key frame before `start`, by a table of all packets."""
    if is_counted(video):
        return _in_time(_counted_from(video, table, start - back, deadline), start)
    shown = (table.pts + table.shift) * video.tick - video.start
    keys = np.flatnonzero(table.key & (shown <= start - back + EPSILON))
    if not len(keys) or not table.stamped:
        raise _Late
    return _in_time(_stamped(video, _packets_from(video, table, int(keys[-1]), deadline)), start)


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


def _counted(video: Video, found: Iterator[Any]) -> Iterator[Timed]:
    """All frames of a video, by their number."""
    stamps: list[int] = []

    def seen() -> Iterator[Any]:
        for packet in found:
            if packet.size:
                stamps.append(NONE if packet.dts is None else packet.dts)
            yield packet

    stored, frames = _tells_order(video), _Frames(video)
    for number, frame in enumerate(_decoded(seen())):
        if stored and stamps[0] != NONE and number < len(stamps) and stamps[number] != NONE:
            first = stamps[0] * video.tick
            moment = stamps[number] * video.tick - min(video.start, first)
        else:
            moment = number / video.rate
        yield frames.timed(moment, 0.0, frame)


def _counted_from(video: Video, table: PacketTable, start: float, deadline: Deadline) -> Iterator[Timed]:
    """Frames by their number, decoded from the key frame before the last one that can be before `start`.

    How many frames a key frame's followers in the file are shown before it is only known once it is decoded
    with the frames before it: that tells its number.
    """
    times = counted_times(video, table.dts)
    shown = int(np.searchsorted(times, start + EPSILON, side="right")) - 1
    keys = np.flatnonzero(table.key[: max(shown - MOST_REORDERED, 0)])
    if len(keys) < 2:
        raise _Late
    entry, anchor = int(keys[-2]), int(keys[-1])
    video.stream.codec_context.copy_opaque = True
    followers, frames = 0, _Frames(video)
    number: int | None = None
    for frame in _decoded(_numbered(video, entry, deadline)):
        if number is None and frame.opaque == anchor:
            number = anchor + followers
        elif number is None:
            followers += frame.opaque is not None and frame.opaque > anchor
            continue
        else:
            number += 1
        moment = float(times[number]) if number < len(times) else float(times[-1]) + 1 / video.rate
        yield frames.timed(moment, 0.0, frame)
    if number is None:
        raise _Late


def _numbered(video: Video, first: int, deadline: Deadline) -> Iterator[Any]:
    """The packets from a number on, which they carry."""
    for number, packet in enumerate(packets(video, deadline)):
        if number >= first:
            if packet.size:
                packet.opaque = number
            yield packet
