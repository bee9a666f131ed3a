"""Finding the file that a row names: suffixes in any case, Unicode forms and back slashes do not matter."""

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from upath import UPath

from cico_platform.corpus.media_files import VIDEO_SUFFIXES, is_hidden, walk
from cico_platform.errors import InputError
from cico_platform.storage import Place, absolute_place, inside, is_remote

LEADS_OUT = "the path leads out of the videos' folder"
RANK = {suffix: rank for rank, suffix in enumerate(VIDEO_SUFFIXES)}


@dataclass
class _Names:
    """The names in one folder: those of files and of folders, and of videos by their stem, in NFC."""

    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    videos: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, is_folder: bool) -> None:
        kind = self.folders if is_folder else self.files
        kind.setdefault(_nfc(name), name)
        kind[name] = name
        suffix = PurePosixPath(name).suffix.lower()
        if not is_folder and suffix in RANK and not is_hidden(name):
            self.videos.setdefault(_nfc(name[: -len(suffix)]), []).append(name)

    def best(self, name: str) -> str | None:
        """The file that a name means: itself, its suffix in another case, or a video of that stem."""
        plain = _nfc(name)
        exact = self.files.get(name) or self.files.get(plain)
        if exact is not None:
            return exact
        suffix = PurePosixPath(plain).suffix
        same = [
            video
            for video in self.videos.get(plain.removesuffix(suffix), ())
            if suffix and PurePosixPath(video).suffix.lower() == suffix.lower()
        ]
        found = same or self.videos.get(plain, [])
        return min(found, key=lambda v: (RANK[PurePosixPath(v).suffix.lower()], v)) if found else None

    def folder(self, name: str) -> str | None:
        return self.folders.get(name) or self.folders.get(_nfc(name))


class MediaFolder:
    """The folder that rows' files are in. What it has listed is remembered: make a new one for a new read.

    A name finds, in this order: the file itself; the file whose suffix is written in another case; a video
    with this stem; a folder (of frames). So a video is preferred to a folder of its stem. Names match in any
    Unicode form, and with back slashes for slashes.
    """

    def __init__(self, root: Place) -> None:
        self.root = absolute_place(root)
        self._listed: dict[str, _Names] = {}
        self._anywhere: dict[str, set[str]] | None = None

    def locate(self, file: str) -> Place:
        """Return the file or frame folder that a row names.

        Raises
        ------
        InputError
            If it is not there, or leads out of the folder.
        """
        found = self.find(file)
        if found is None:
            raise InputError("the file does not exist")
        return self.root / found

    def find(self, file: str) -> str | None:
        """The relative path of what a row names; None where there is no such file.

        Raises
        ------
        InputError
            If it leads out of the folder or cannot be used as a path.
        """
        if "\0" in file or "://" in file or re.match(r"[A-Za-z]:[\\/]", file):
            raise InputError(LEADS_OUT)
        try:
            for name in dict.fromkeys((file, file.replace("\\", "/"))):
                found = self._find(name)
                if found is not None:
                    if inside(self.root, found) is None:
                        raise InputError(LEADS_OUT)
                    return found
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(f"the path cannot be used: {reason}") from error
        return None

    def first(self, names: Iterable[str]) -> str | None:
        """The relative path of the first of some names that is there."""
        for name in names:
            try:
                found = self.find(name)
            except InputError:
                continue
            if found is not None:
                return found
        return None

    def anywhere(self, name: str) -> str | None:
        """The relative path of the only video of this name (or of this stem) anywhere under the folder."""
        if self._anywhere is None:
            self._anywhere = {}
            for file in walk(self.root):
                if file.suffix in RANK:
                    base = _nfc(PurePosixPath(file.path).name)
                    for key in (base[: -len(file.suffix)] + file.suffix, base[: -len(file.suffix)]):
                        self._anywhere.setdefault(key, set()).add(file.path)
        plain = _nfc(name)
        suffix = PurePosixPath(plain).suffix
        found = self._anywhere.get(plain.removesuffix(suffix) + suffix.lower()) or set()
        found = found or self._anywhere.get(plain) or set()
        return next(iter(found)) if len(found) == 1 else None

    def _find(self, name: str) -> str | None:
        parts = self._parts(name)
        folder = ""
        for part in parts[:-1]:
            actual = self._names(folder).folder(part)
            if actual is None:
                return None
            folder = f"{folder}{actual}/"
        names = self._names(folder)
        last = parts[-1]
        found = None if name.endswith("/") else names.best(last)
        found = found or names.folder(last)
        return None if found is None else folder + found

    def _parts(self, name: str) -> tuple[str, ...]:
        if name.startswith("/"):
            if is_remote(self.root):
                raise InputError(LEADS_OUT)
            resolved = Path(name).resolve()
            if not resolved.is_relative_to(str(self.root)):
                raise InputError(LEADS_OUT)
            name = resolved.relative_to(str(self.root)).as_posix()
        clean = posixpath.normpath(name)
        if clean == ".." or clean.startswith("../"):
            raise InputError(LEADS_OUT)
        return PurePosixPath(clean).parts or (".",)

    def _names(self, folder: str) -> _Names:
        if folder not in self._listed:
            names = _Names()
            for name, is_folder in self._entries(folder):
                names.add(name, is_folder)
            self._listed[folder] = names
        return self._listed[folder]

    def _entries(self, folder: str) -> Iterable[tuple[str, bool]]:
        if isinstance(self.root, UPath) and is_remote(self.root):
            path = (self.root / folder).path if folder else self.root.path
            try:
                listed = self.root.fs.ls(path, detail=True)
            except FileNotFoundError:
                return []
            return [
                (about["name"].rstrip("/").rsplit("/", 1)[-1], about["type"] == "directory")
                for about in listed
            ]
        with os.scandir(f"{self.root}/{folder}") as entries:
            return sorted((entry.name, entry.is_dir()) for entry in entries)


def locate(root: Place, file: str) -> Place:
    """Return the file or frame folder that one row names; see `MediaFolder`.

    Raises
    ------
    InputError
        If it is not there, or leads out of `root`.
    """
    return MediaFolder(root).locate(file)


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)
