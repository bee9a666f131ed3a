"""From a decoded frame to a picture: upright, with square pixels, without combing, cropped and scaled."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import av.filter
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from cico_platform.corpus.limits import DecodeLimits, check_crop, check_pixels, crop_pixels, target_size
from cico_platform.corpus.timeline import Timed

Filters = tuple[tuple[str, str], ...]
UNITY = (1.0, 0.0, 0.0, 1.0)
DEINTERLACE = ("bwdif", "mode=send_frame:parity=auto:deint=interlaced")


class Shown(NamedTuple):
    """A picture uint8 [H, W, 3] RGB, and when it appears and how long it lasts."""

    time: float
    duration: float
    pixels: NDArray[np.uint8]


class PictureMaker:
    """Makes the pictures of a clip in one filter chain, rebuilt only where the frames' form changes.

    A frame that changes its size in mid-stream is scaled to the pictures before.

    Parameters
    ----------
    crop, size, longest
        As in `decode_clip`.
    """

    def __init__(
        self, crop: list[float] | None, size: int | None, longest: int | None, limits: DecodeLimits
    ) -> None:
        self.crop, self.size, self.longest, self.limits = check_crop(crop), size, longest, limits
        self.source_size = self.stored_size = (0, 0)
        self.interlaced = False
        self._form: tuple[Any, ...] = ()
        self._matrix = UNITY
        self._out: tuple[int, int] | None = None
        self._graph: Any = None
        self._waiting: deque[tuple[float, float]] = deque()

    def push(self, timed: Timed) -> Iterator[Shown]:
        """Give the next frame; returns the pictures that are ready. Deinterlacing is one frame behind."""
        frame = timed.frame
        if frame.interlaced_frame and not self.interlaced:
            yield from self.flush()
            self.interlaced = True
        if frame.key_frame or self._graph is None:
            self._matrix = display_matrix(frame)
        aspect = timed.aspect
        form = (frame.width, frame.height, frame.format.name, self._matrix, aspect, self.interlaced)
        if form != self._form or self._graph is None:
            yield from self.flush()
            self._graph, self._form = self._chain(frame, aspect), form
        frame.pts = None
        self._waiting.append((timed.time, timed.duration))
        self._graph.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[Shown]:
        """The pictures that are still in the chain, which is at its end."""
        if self._graph is not None and self._waiting:
            self._graph.push(None)
            yield from self._ready()
        self._graph = None
        self._waiting.clear()

    def _ready(self) -> Iterator[Shown]:
        while self._waiting:
            try:
                pixels: NDArray[np.uint8] = self._graph.pull().to_ndarray()
            except (av.BlockingIOError, av.EOFError):
                return
            yield Shown(*self._waiting.popleft(), pixels)

    def _chain(self, frame: Any, aspect: Fraction) -> Any:
        graph = av.filter.Graph()
        graph.threads = 1
        steps = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base="1/1000")
        ]
        if self.interlaced:
            steps.append(graph.add(*DEINTERLACE))
        turns, transposed = upright(self._matrix)
        steps += [graph.add(name, argument) if argument else graph.add(name) for name, argument in turns]
        width, height = (frame.height, frame.width) if transposed else (frame.width, frame.height)
        shown = _square_pixels(width, height, 1 / aspect if transposed else aspect)
        check_pixels(*shown, self.limits)
        if self._out is None:
            self.source_size, self.stored_size = shown, (width, height)
        x, y, width, height = crop_pixels(self.crop, width, height)
        if self.crop is not None:
            steps.append(graph.add("crop", f"{width}:{height}:{x}:{y}:exact=1"))
        _, _, across, down = crop_pixels(self.crop, *shown)
        self._out = out = self._out or target_size(across, down, self.size, self.longest)
        flags = "area" if out[0] <= width and out[1] <= height else "bilinear"
        steps += [graph.add("scale", f"{out[0]}:{out[1]}:flags={flags}"), graph.add("format", "rgb24")]
        steps.append(graph.add("buffersink"))
        for before, after in pairwise(steps):
            before.link_to(after)
        graph.configure()
        return graph


def display_matrix(frame: Any) -> tuple[float, float, float, float]:
    """The linear part `(a, b, c, d)` of a frame's display matrix: stored (x, y) is shown at
    (ax + cy, bx + dy), of whatever scale."""
    found = frame.side_data.get(Type.DISPLAYMATRIX)
    if found is None:
        return UNITY
    values = np.frombuffer(bytes(found), np.int32)
    return float(values[0]), float(values[1]), float(values[3]), float(values[4])


def upright(matrix: tuple[float, float, float, float]) -> tuple[Filters, bool]:
    """The filters that show a frame as its display matrix says, and whether they swap width and height.

    Of the eight ways in which a rectangle can lie, with and without mirror, the nearest is taken.

    >>> upright((0.0, 1.0, -1.0, 0.0))
    ((('transpose', 'clock'),), True)
    """
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        mirror: Filters = (("hflip", ""),) if a < 0 else ()
        return mirror + ((("vflip", ""),) if d < 0 else ()), False
    turn = {
        (False, False): "cclock_flip",
        (True, False): "clock",
        (False, True): "cclock",
        (True, True): "clock_flip",
    }[c < 0, b < 0]
    return (("transpose", turn),), True


def _square_pixels(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """The size at which a frame is shown: its height is kept."""
    return max(1, round(width * aspect)), height
