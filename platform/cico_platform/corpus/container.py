"""Video files as PyAV opens them: plain files of known containers, and the track that players show."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import fsspec

from cico_platform.corpus.limits import ClipError, DecodeLimits, check_pixels

# Playlists and image patterns would let a file name other files: only containers that hold their own frames.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,gif,mxf,m4v,h264,hevc,ivf,dv"
)
RAW = {"h264", "hevc", "m4v", "mpegvideo"}
DEFAULT_FPS = 25.0
# Pixels that are more oblong than any format's are a mistake in a header.
LEAST_ASPECT, GREATEST_ASPECT = Fraction(1, 5), Fraction(5)
NO_PICTURES = ("attached_pic", "timed_thumbnails", "still_image", "dependent")


@dataclass(frozen=True)
class Video:
    """An open container and the video track of it that players show."""

    container: Any
    stream: Any

    @property
    def names(self) -> set[str]:
        """The names of the container's format."""
        return set(self.container.format.name.split(","))

    @property
    def tick(self) -> float:
        """Seconds of one unit of the track's timestamps."""
        return float(self.stream.time_base or 0) or 1e-3

    @property
    def start(self) -> float:
        """The timestamp, in seconds, at which a player's clock shows 0."""
        return (self.container.start_time or 0) / 1e6

    @property
    def rate(self) -> float:
        """Frames a second as the file declares them; 25 where it declares nothing that can be."""
        declared = [self.stream.average_rate, self.stream.guessed_rate]
        if self.names & RAW:  # the average is what FFmpeg assumes of raw video, not what that says
            declared.reverse()
        rate = float(declared[0] or declared[1] or 0)
        return rate if 0 < rate <= 1000 else DEFAULT_FPS

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel over its height."""
        found = self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio
        if not found or not LEAST_ASPECT <= found <= GREATEST_ASPECT:
            return Fraction(1)
        return Fraction(found)


@contextmanager
def open_video(path: str, limits: DecodeLimits, options: Mapping[str, str] | None = None) -> Iterator[Video]:
    """Open a video for decoding on one thread, once it is known to be one within the limits.

    Parameters
    ----------
    path
        A file, or a URL that fsspec opens.
    options
        Further options of the demuxer.

    Raises
    ------
    ClipError
        If it is no video that can be read, or a limit is exceeded.
    """
    with open_source(path) as source:
        try:
            container = av.open(
                source,
                options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file", **(options or {})},
                metadata_errors="replace",
            )
        except (av.FFmpegError, ValueError, OSError, MemoryError) as error:
            raise ClipError(f"not a video that can be read: {reason_of(error)}") from error
        with container:
            stream = main_track(container.streams.video)
            if stream is None:
                raise ClipError("no video stream")
            context = stream.codec_context
            if context is None:
                raise ClipError("the video's codec is not known")
            check_pixels(context.width, context.height, limits)
            context.thread_type, context.thread_count = "NONE", 1
            context.options = {"max_pixels": str(limits.pixels)}
            yield Video(container, stream)


def main_track(streams: Any) -> Any:
    """The track that players show: the first default one, else the first; never a picture such as a cover."""
    tracks = [s for s in streams if not any(_disposed(s, name) for name in NO_PICTURES)]
    return next((s for s in tracks if _disposed(s, "default")), tracks[0] if tracks else None)


def _disposed(stream: Any, name: str) -> bool:
    flag = getattr(type(stream.disposition), name, None)
    return flag is not None and bool(stream.disposition & flag)


@contextmanager
def open_source(path: str) -> Iterator[Any]:
    """Return the argument for `av.open`: a local file's absolute path, or the open remote file.

    Raises
    ------
    ClipError
        If there is no such file, or nothing in it.
    """
    if "://" in path:
        try:
            with fsspec.open(path, "rb") as file:
                yield file
        except (OSError, ValueError, ImportError) as error:
            raise ClipError(f"'{path}' cannot be opened: {reason_of(error)}") from error
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
        raise ClipError("the file does not exist" if missing else reason_of(error)) from error
    yield str(Path(path).absolute())


def reason_of(error: BaseException) -> str:
    """An error's own words, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
