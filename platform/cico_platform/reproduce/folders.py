"""A look around a download: its annotation files, and the folders that hold videos or folders of frames."""

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from upath import UPath

from cico_platform.corpus.frame_folder import IMAGES
from cico_platform.corpus.media_files import VIDEO_SUFFIXES, is_hidden
from cico_platform.steps import STEP_FILE
from cico_platform.storage import Place, is_remote

TABLES = (".csv", ".tsv", ".pkl", ".pickle")
DEEPEST = 6
# Of more folders beside each other, which are folders of frames, only the first ones are opened.
MOST_SIBLINGS, OPENED_SIBLINGS = 300, 3


@dataclass
class Found:
    """What a download holds: annotation files, and folders of videos or of folders of frames."""

    tables: list[Place] = field(default_factory=list)
    media: list[Place] = field(default_factory=list)


def look_around(root: Place) -> Found:
    """List the annotation files and the folders of media under a folder, itself included.

    Frames are not listed, hidden folders and those that a step has written are passed over.
    """
    found = Found()
    _look(root, 0, found)
    return found


def entries(folder: Place) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders in a folder, each in order; none where it cannot be listed."""
    files: list[str] = []
    folders: list[str] = []
    try:
        if isinstance(folder, UPath) and is_remote(folder):
            for about in folder.fs.ls(folder.path, detail=True):
                name = PurePosixPath(about["name"].rstrip("/")).name
                (folders if about["type"] == "directory" else files).append(name)
        else:
            with os.scandir(str(folder)) as listed:
                for entry in listed:
                    (folders if entry.is_dir() else files).append(entry.name)
    except OSError:
        return [], []
    return sorted(n for n in files if not is_hidden(n)), sorted(n for n in folders if not is_hidden(n))


def _look(folder: Place, depth: int, found: Found) -> bool:
    """Look into a folder; returns whether it holds the frames of one video."""
    files, folders = entries(folder)
    if STEP_FILE in files:
        return False
    suffixes = {Path(name).suffix.lower() for name in files}
    if suffixes & set(IMAGES):
        return True
    found.tables += [folder / name for name in files if Path(name).suffix.lower() in TABLES]
    opened = folders if len(folders) <= MOST_SIBLINGS else folders[:OPENED_SIBLINGS]
    frames = [name for name in opened if depth < DEEPEST and _look(folder / name, depth + 1, found)]
    if frames == ["1"] == folders:  # PHOENIX-2014T keeps the frames of a video in NAME/1
        return True
    if frames or suffixes & set(VIDEO_SUFFIXES):
        found.media.append(folder)
    return False
