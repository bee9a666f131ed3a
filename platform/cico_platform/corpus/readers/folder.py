"""A bare folder of videos: the text is the file's name."""

import re

from cico_platform.corpus.readers.rows import VIDEO_SUFFIXES, Rows
from cico_platform.errors import InputError
from cico_platform.storage import Place, relative

NAME = "folder"


def video_files(folder: Place) -> list[Place]:
    """The video files anywhere under a folder, hidden ones left out, in a fixed order."""
    found = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not any(part.startswith(".") for part in relative(path, folder).split("/"))
        and not path.is_dir()
    )
    return sorted(found, key=str)


def sniff(source: Place) -> bool:
    """Whether the source is a folder with at least one video."""
    return source.is_dir() and bool(video_files(source))


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
    for path in video_files(source):
        file = relative(path, source)
        rows.add(file, file, text_from_name(path.stem))
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
