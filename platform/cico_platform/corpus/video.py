"""Decoding: the frames that a clip needs, cropped and at the encoder's size, or the reason why not."""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import av
import av.filter
import fsspec
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.frame_folder import read_frame_folder
from cico_platform.corpus.limits import (
    ClipError,
    DecodedClip,
    DecodeLimits,
    check_crop,
    check_pixels,
    crop_pixels,
    target_size,
)
from cico_platform.errors import InputError
from cico_platform.storage import is_remote, place

__all__ = ["ClipError", "DecodeLimits", "DecodedClip", "decode_clip"]

# Playlists and image patterns would let a file name other files: only containers that hold their own frames.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,gif,mxf,m4v,h264,hevc,ivf"
)
DEFAULT_FPS = 25.0
# Seconds, and a frame of PyAV.
TimedFrame = tuple[float, Any]
Keep = Callable[[float, Any], None]
SEEK_MARGIN = 0.5
# Filters that make a frame upright, by quarter turns clockwise.
TURNS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("transpose", "clock"),),
    (("transpose", "clock"), ("transpose", "clock")),
    (("transpose", "cclock"),),
)


def decode_clip(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    crop: list[float] | None = None,
    size: int | None = None,
    longest: int | None = None,
    limits: DecodeLimits | None = None,
    keep: Keep | None = None,
) -> DecodedClip:
    """Decode one clip: seek to the key frame before `start`, crop, scale, stop at `end`.

    A file that ends early, or breaks in the middle, is used as far as it can be decoded and `truncated`
    says so; it is an error only when not one frame comes out. A single frame is a clip.

    Parameters
    ----------
    path
        A video file, a folder of numbered images, or a URL that fsspec opens.
    start, end
        Seconds from the first frame; frames with `start <= time < end` are kept.
    crop
        `[x0, y0, x1, y1]` in fractions of the upright frame; `None` takes all of it.
    size
        Side of the square that the crop is squeezed into, in pixels; `None` keeps the crop's own size.
    longest
        Instead of `size`: the longest side, the aspect kept. A smaller frame stays as it is.
    limits
        What a hostile file may cost; `DecodeLimits()` by default.
    keep
        Called with the time and the decoded frame of each that is returned, see `shape_frames`; not for
        folders.

    Returns
    -------
    DecodedClip
        `frames` uint8 `[N, H, W, 3]` RGB with `N >= 1`, `fps`, `times` float64 `[N]` in seconds.

    Raises
    ------
    ClipError
        If no frame of the clip can be had, or a limit is exceeded; the message is the reason.
    """
    limits = limits or DecodeLimits()
    if start is not None and end is not None and not end > max(start, 0.0):
        raise ClipError(f"the clip ends ({end:g} s) before it begins ({start:g} s)")
    shape = _Shape(crop, size, longest)
    if _is_folder(path):
        return read_frame_folder(place(path), start, end, shape.crop, size, longest, limits)
    return _decode(str(path), start, end, shape, limits, keep)


def shape_frames(
    frames: Iterable[TimedFrame],
    fps: float,
    *,
    start: float | None,
    end: float | None,
    crop: list[float] | None,
    size: int,
    limits: DecodeLimits,
) -> DecodedClip:
    """Make a clip of decoded frames that `decode_clip` has handed to `keep`: as if it were called again.

    Raises
    ------
    ClipError
        As `decode_clip`.
    """
    shape, collected = _Shape(crop, size, None), _Collected(limits)
    for moment, frame in frames:
        if _is_within(moment, start, end):
            collected.add(moment, shape.apply(frame))
    return collected.finish(fps, 0, shape.source_size)


def _is_folder(path: str | Path) -> bool:
    # Behind a URL the question is a request: a name with a suffix is a file.
    if is_remote(path) and PurePosixPath(path).suffix:
        return False
    try:
        return place(path).is_dir()
    except (InputError, OSError, ValueError) as error:
        raise ClipError(f"'{path}' cannot be opened: {_reason(error)}") from error


def _decode(
    path: str,
    start: float | None,
    end: float | None,
    shape: "_Shape",
    limits: DecodeLimits,
    keep: Keep | None,
) -> DecodedClip:
    with _open(path, limits) as container:
        stream = container.streams.video[0]
        collected = _Collected(limits)
        try:
            _seek(container, stream, start)
            for moment, frame in _timed_frames(container, stream, limits):
                if end is not None and moment >= end - 1e-6:
                    break
                if _is_within(moment, start, end):
                    collected.add(moment, shape.apply(frame))
                    if keep is not None:
                        keep(moment, frame)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            collected.broken = _reason(error)
        expected = stream.frames if start is None and end is None else 0
        return collected.finish(_fps(stream), expected, shape.source_size)


def _is_within(moment: float, start: float | None, end: float | None) -> bool:
    return (start is None or moment >= start - 1e-6) and (end is None or moment < end - 1e-6)


@dataclass
class _Collected:
    """The frames so far, within the limits."""

    limits: DecodeLimits
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    broken: str = ""
    held: int = 0

    def add(self, moment: float, frame: NDArray[np.uint8]) -> None:
        self.held += frame.nbytes
        if len(self.frames) >= self.limits.frames:
            raise ClipError(f"more than {self.limits.frames} frames; give start and end, or raise the limit")
        if self.held > self.limits.bytes:
            raise ClipError(f"more than {self.limits.bytes} bytes of frames; give start and end, or a size")
        self.frames.append(frame)
        self.times.append(moment)

    def finish(self, fps: float, expected: int, source_size: tuple[int, int]) -> DecodedClip:
        if not self.frames:
            raise ClipError(self.broken or "no frame could be decoded in the clip's time")
        if any(frame.shape != self.frames[0].shape for frame in self.frames):
            raise ClipError("the frames change their size within the clip; give a size to scale them to")
        truncated = bool(self.broken) or len(self.frames) < expected - 1
        return DecodedClip(np.stack(self.frames), fps, np.asarray(self.times), truncated, source_size)


class _Shape:
    """Upright, crop and scale in one filter chain, rebuilt only where the frames' form changes."""

    def __init__(self, crop: list[float] | None, size: int | None, longest: int | None) -> None:
        self.crop, self.size, self.longest = check_crop(crop), size, longest
        self.form: tuple[Any, ...] = ()
        self.graph: Any = None
        self.source_size = (0, 0)

    def apply(self, frame: Any) -> NDArray[np.uint8]:
        form = (frame.width, frame.height, frame.format.name, frame.rotation)
        if form != self.form:
            self.graph, self.form = self._chain(frame), form
        frame.pts = None
        self.graph.push(frame)
        result: NDArray[np.uint8] = self.graph.pull().to_ndarray()
        return result

    def _chain(self, frame: Any) -> Any:
        graph = av.filter.Graph()
        graph.threads = 1
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base="1/1000"
        )
        steps = [source]
        turn = round(-frame.rotation / 90) % 4
        steps += [graph.add(name, argument) for name, argument in TURNS[turn]]
        width, height = (frame.height, frame.width) if turn % 2 else (frame.width, frame.height)
        self.source_size = (width, height)
        x, y, width, height = crop_pixels(self.crop, width, height)
        if self.crop is not None:
            steps.append(graph.add("crop", f"{width}:{height}:{x}:{y}:exact=1"))
        out = target_size(width, height, self.size, self.longest)
        flags = "area" if out[0] <= width and out[1] <= height else "bilinear"
        steps += [graph.add("scale", f"{out[0]}:{out[1]}:flags={flags}"), graph.add("format", "rgb24")]
        steps.append(graph.add("buffersink"))
        for before, after in pairwise(steps):
            before.link_to(after)
        graph.configure()
        return graph


@contextmanager
def _open(path: str, limits: DecodeLimits) -> Iterator[Any]:
    """Open the container, single-threaded, once it is known to be a video within the limits."""
    with _source(path) as source:
        try:
            container = av.open(
                source,
                options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
                metadata_errors="replace",
            )
        except (av.FFmpegError, ValueError, OSError, MemoryError) as error:
            raise ClipError(f"not a video that can be read: {_reason(error)}") from error
        with container:
            if not container.streams.video:
                raise ClipError("no video stream")
            stream = container.streams.video[0]
            context = stream.codec_context
            if context is None:
                raise ClipError("the video's codec is not known")
            check_pixels(context.width, context.height, limits)
            context.thread_type, context.thread_count = "NONE", 1
            context.options = {"max_pixels": str(limits.pixels)}
            yield container


@contextmanager
def _source(path: str) -> Iterator[Any]:
    """What PyAV opens: a plain file's absolute path, or the open remote file."""
    if "://" in path:
        try:
            with fsspec.open(path, "rb") as file:
                yield file
        except (OSError, ValueError, ImportError) as error:
            raise ClipError(f"'{path}' cannot be opened: {_reason(error)}") from error
        return
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise ClipError("not a plain file")
        if status.st_size == 0:
            raise ClipError("the file is empty")
        if not os.access(path, os.R_OK):
            raise ClipError("no permission to read the file")
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise ClipError("the file does not exist" if missing else _reason(error)) from error
    yield str(Path(path).absolute())


def _seek(container: Any, stream: Any, start: float | None) -> None:
    if start is None or start < SEEK_MARGIN or not stream.time_base:
        return
    try:
        container.seek(int(start / stream.time_base) + (stream.start_time or 0), stream=stream, backward=True)
    except av.FFmpegError:
        container.seek(0)


def _timed_frames(container: Any, stream: Any, limits: DecodeLimits) -> Iterator[tuple[float, Any]]:
    """Frames with their time in seconds from the stream's first; a frame without a time follows the last."""
    began, step = time.monotonic(), 1 / _fps(stream)
    moment = -step
    for frame in container.decode(stream):
        if time.monotonic() - began > limits.seconds:
            raise ClipError(f"decoding took longer than {limits.seconds:g} seconds")
        check_pixels(frame.width, frame.height, limits)
        if frame.pts is None or frame.time_base is None:
            moment += step
        else:
            moment = float((frame.pts - (stream.start_time or 0)) * frame.time_base)
        yield moment, frame


def _fps(stream: Any) -> float:
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate <= 1000 else DEFAULT_FPS


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
