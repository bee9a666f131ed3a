"""The frames of one clip as they are collected, and what they lack of its interval."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.container import DEFAULT_FPS
from cico_platform.corpus.limits import ClipError, DecodedClip, DecodeLimits, StillError
from cico_platform.corpus.picture import PictureMaker, Shown
from cico_platform.corpus.timeline import EPSILON, SourceFacts, Timed

# A clip lacks nothing where its frames end so many seconds (or one frame) before its interval does.
TOLERANCE = 0.04
Keep = Callable[[Timed], None]
UNKNOWN = SourceFacts(DEFAULT_FPS, frozenset())


@dataclass
class ClipFrames:
    """The frames of a clip so far, within the limits.

    Attributes
    ----------
    frames, times
        What was taken in: uint8 [H, W, 3], and seconds on the player's clock.
    broken
        Why decoding ended before the file did; "" if it did not.
    over
        A frame after the clip's end was seen.
    source
        What is known of the file.
    keep
        Called with each frame that pictures are made of.
    """

    start: float | None
    end: float | None
    limits: DecodeLimits
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    broken: str = ""
    over: bool = False
    source: SourceFacts = UNKNOWN
    keep: Keep | None = None
    _held: int = 0
    _lasts: float = 0.0
    _began: float | None = None
    _next: float | None = None
    _before: Timed | None = None

    def see(self, timed: Timed, pictures: PictureMaker) -> None:
        """Take a frame in, if it is of the clip. One before it and one after it help to deinterlace."""
        if self._began is None:
            self._began, self.source = timed.time, timed.source
        self.over = self.end is not None and timed.time >= self.end - EPSILON
        if self.over:
            self._next = timed.time
        early = self.start is not None and timed.time < self.start - EPSILON
        if early:
            self._before = timed
            return
        if self._before is not None and self._before.frame.interlaced_frame:
            self._push(self._before, pictures)
        self._before = None
        if not self.over or pictures.interlaced:
            self._push(timed, pictures)

    def _push(self, timed: Timed, pictures: PictureMaker) -> None:
        if self.keep is not None:
            self.keep(timed)
        self.add(pictures.push(timed))

    def add(self, pictures: Iterable[Shown]) -> None:
        """Take in the pictures that are of the clip.

        Raises
        ------
        ClipError
            If a limit is exceeded.
        """
        for picture in pictures:
            if self.start is not None and picture.time < self.start - EPSILON:
                continue
            if self.end is not None and picture.time >= self.end - EPSILON:
                continue
            self._add(picture)

    def _add(self, picture: Shown) -> None:
        self._held += picture.pixels.nbytes
        if len(self.frames) >= self.limits.frames:
            raise ClipError(f"more than {self.limits.frames} frames; give start and end, or raise the limit")
        if self._held > self.limits.bytes:
            raise ClipError(f"more than {self.limits.bytes} bytes of frames; give start and end, or a size")
        self.frames.append(picture.pixels)
        self.times.append(picture.time)
        self._lasts = picture.duration

    def finish(
        self, pictures: PictureMaker, breaks_off: bool, numbers: NDArray[np.int64] | None = None
    ) -> DecodedClip:
        """The clip, and whether its frames cover its interval.

        Parameters
        ----------
        breaks_off
            Whether the end of the file is missing, and nothing after the clip was seen.
        numbers
            `source_frames`, if they were asked for.

        Raises
        ------
        ClipError
            If there is no frame.
        """
        if not self.frames and self.over:
            raise StillError
        if not self.frames:
            reason = self.broken or "no frame could be decoded in the clip's time"
            raise ClipError(reason + (": the file breaks off before it" if breaks_off else ""))
        times = np.asarray(self.times)
        step = float(np.median(np.diff(times))) if len(times) > 1 else self._lasts or 1 / self.source.rate
        ends = float(times[-1]) + (self._lasts or step) if self._next is None else self._next
        tolerance = max(step, TOLERANCE) + EPSILON
        wanted = self.end is None or self.over or ends >= self.end - tolerance
        begun = self.start is None or self._began is None or self._began <= self.start + tolerance
        return DecodedClip(
            np.stack(self.frames),
            _measured_rate(times) or self.source.rate,
            times,
            truncated=(breaks_off or bool(self.broken)) and (self.end is None or not wanted),
            source_size=pictures.source_size,
            # The interval may end in the middle of the last frame, or while it still stands.
            end=ends if self.end is None else min(ends, max(self.end, float(times[-1]) + step)),
            short=not wanted or not begun,
            stored_size=pictures.stored_size,
            source_frames=numbers,
        )


def _measured_rate(times: NDArray[np.float64]) -> float | None:
    """Frames over time; None where there is one moment only."""
    spread = float(times[-1] - times[0])
    return round((len(times) - 1) / spread, 6) if spread > 0 else None
