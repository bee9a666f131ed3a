"""Suffixes of videos, frames and annotations; hidden files; one walk of a local or a remote folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from upath import UPath

from cico_platform.corpus.frame_folder import IMAGES
from cico_platform.steps import STEP_FILE
from cico_platform.storage import Place, fresh, is_remote

# Containers that the decoder opens, in the order in which one is preferred where several share a stem.
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv",
    ".mts", ".m2ts", ".m2t", ".mod", ".tod", ".3gp", ".3g2", ".mxf", ".vob", ".asf", ".qt", ".f4v", ".mk3d",
    ".divx", ".mpe", ".m1v", ".m2v", ".mpv", ".m2p", ".ogm", ".mj2", ".h264", ".264", ".h265", ".265",
    ".hevc", ".ivf", ".dv", ".tp", ".trp", ".gif",
)  # fmt: skip
# Media that are counted where they lie and not read: the decoder does not take them, or they are previews.
OTHER_VIDEO_SUFFIXES = frozenset((
    ".rm", ".rmvb", ".y4m", ".mjpeg", ".mjpg", ".nut", ".wtv", ".dvr-ms", ".amv", ".swf", ".dav", ".lrv",
    ".insv", ".m4s", ".mp4v", ".mpg4", ".mpeg4", ".braw", ".r3d", ".apng", ".part", ".crdownload",
))  # fmt: skip
OTHER_IMAGE_SUFFIXES = frozenset((
    ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jpe", ".jfif", ".jp2", ".jxl", ".heic", ".heif",
    ".avif", ".exr", ".dng",
))  # fmt: skip
ANNOTATION_SUFFIXES = frozenset((
    ".vtt", ".srt", ".eaf", ".csv", ".tsv", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".sbv", ".ass",
    ".ssa", ".ttml", ".dfxp", ".sub", ".lrc", ".textgrid", ".trs", ".cha",
))  # fmt: skip
# Files of these suffixes are annotations only where a reader recognises what is in them.
MAYBE_ANNOTATION_SUFFIXES = frozenset((".json", ".pkl", ".pickle", ".txt"))
# Folders that operating systems and storage devices make for themselves.
SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"))


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file below a folder: its relative path, with slashes, and a text that changes when the file does.

    `is_folder` tells of a link to a folder, which is not followed.
    """

    path: str
    version: str
    is_folder: bool = False

    @property
    def suffix(self) -> str:
        """The lower-case suffix of the name, with its dot; empty for a link to a folder."""
        return "" if self.is_folder else PurePosixPath(self.path).suffix.lower()


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out: hidden, an AppleDouble file, or a system's own.

    >>> [is_hidden(name) for name in ("._talk.vtt", ".cache", "__MACOSX", "talk.vtt")]
    [True, True, True, False]
    """
    return name.startswith(".") or name in SYSTEM_FOLDERS


def walk(folder: Place, skip: str | None = None) -> Iterator[FoundFile]:
    """The files anywhere under a folder, in a fixed order.

    Hidden files and folders are left out, and so are folders that a step of this project wrote, other than
    `folder` itself. Links to folders are told and not followed.

    Parameters
    ----------
    folder
        A local or a remote folder.
    skip
        The absolute path of a folder that is left out, too.
    """
    if is_remote(folder):
        yield from _walk_remote(folder, skip)
    else:
        yield from _walk_local(str(folder), "", skip)


def videos_under(folder: Place) -> list[str]:
    """The relative paths of the videos anywhere under a folder."""
    return [found.path for found in walk(folder) if found.suffix in VIDEO_SUFFIXES]


def files_with_suffix(folder: Place, suffixes: tuple[str, ...]) -> Iterator[Place]:
    """The files under a folder whose suffix, in any case, is one of some; hidden ones are left out."""
    return (folder / found.path for found in walk(folder) if found.suffix in suffixes)


def is_image(found: FoundFile) -> bool:
    """Whether a file is a picture, such as a frame of a frame folder."""
    return found.suffix in IMAGES or found.suffix in OTHER_IMAGE_SUFFIXES


def _walk_local(folder: str, prefix: str, skip: str | None) -> Iterator[FoundFile]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    if prefix and any(entry.name == STEP_FILE for entry in listed):
        return
    for entry in listed:
        if is_hidden(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if skip is None or os.path.realpath(entry.path) != skip:
                yield from _walk_local(entry.path, f"{prefix}{entry.name}/", skip)
        elif not (entry.is_dir() and _is_written(entry.path, skip)):
            yield FoundFile(prefix + entry.name, _version(entry), is_folder=entry.is_dir())


def _is_written(folder: str, skip: str | None) -> bool:
    """Whether a link leads to the folder that is left out, or to one that a step of this project wrote."""
    return os.path.realpath(folder) == skip or Path(folder, STEP_FILE).exists()


def _version(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError:  # a link to nothing
        status = entry.stat(follow_symlinks=False)
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _walk_remote(folder: Place, skip: str | None) -> Iterator[FoundFile]:
    assert isinstance(folder, UPath)  # narrows the type
    fresh(folder)
    base = folder.path.rstrip("/")
    found = folder.fs.find(base, detail=True)
    prefix = len(base) + 1
    listed = {path[prefix:]: about for path, about in sorted(found.items())}
    written = tuple(f"{PurePosixPath(path).parent}/" for path in listed if path.endswith(f"/{STEP_FILE}"))
    left_out = tuple(f"{skip.rstrip('/')}/" for skip in (skip,) if skip)
    for path, about in listed.items():
        if any(is_hidden(part) for part in path.split("/")) or path.startswith(written):
            continue
        if not f"{str(folder).rstrip('/')}/{path}".startswith(left_out or ("\0",)):
            yield FoundFile(path, _remote_version(about))


def _remote_version(about: dict[str, Any]) -> str:
    known = ("size", "ETag", "etag", "LastModified", "mtime", "updated", "md5Hash")
    return repr([str(about[name]) for name in known if name in about])
