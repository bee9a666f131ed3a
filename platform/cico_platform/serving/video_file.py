"""An uploaded video: a file of this node, which its other processes read where it lies."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class VideoFile(NamedTuple):
    """Path of a file that is there for as long as its request, and its size in bytes."""

    path: str
    size: int

    def read(self) -> bytes:
        """All of it, for a process of another node."""
        return Path(self.path).read_bytes()


class NotHereError(Exception):
    """The file lies on another node."""


@contextmanager
def opened_here(video: VideoFile | bytes) -> Iterator[str]:
    """Give the path of a video's file; a file is made of bytes, and gone afterwards.

    Raises
    ------
    NotHereError
        If the file lies on another node.
    """
    if isinstance(video, VideoFile):
        try:
            here = Path(video.path).stat().st_size == video.size
        except OSError:
            here = False
        if not here:
            raise NotHereError(video.path)
        yield video.path
        return
    with tempfile.NamedTemporaryFile(prefix="cico-query-", suffix=".video") as file:
        file.write(video)
        file.flush()
        yield file.name
