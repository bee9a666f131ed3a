"""A bare folder of videos: the text is the file's name."""

import re
from pathlib import PurePosixPath

from cico_platform.corpus.media_files import VIDEO_SUFFIXES, videos_under
from cico_platform.corpus.readers.rows import Rows
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "folder"


def sniff(source: Place) -> bool:
    """Whether the source is a folder with at least one video."""
    return source.is_dir() and bool(videos_under(source))


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a video; `good_morning-2.mp4` says "good morning".

    Raises
    ------
    InputError
        If the source is no folder or holds no video.
    """
    if not source.is_dir():
        raise InputError(f"'{source}' is not a folder")
    rows = Rows()
    for file in videos_under(source):
        rows.add(file, file, text_from_name(PurePosixPath(file).stem))
    if not rows.good and not rows.bad:
        raise InputError(f"'{source}' holds no video ({', '.join(VIDEO_SUFFIXES)})")
    return rows


def text_from_name(stem: str) -> str:
    """The words of a file's name, without the running number of a repetition.

    >>> [text_from_name(s) for s in ("good_morning-2", "7", "Home (3)")]
    ['good morning', '7', 'Home']
    """
    words = re.sub(r"[_\-.+]+", " ", stem).strip()
    shorter = re.sub(r"\s*(\(\d+\)|\s\d+)$", "", words).strip()
    return shorter or words or stem
