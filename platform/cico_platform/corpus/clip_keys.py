"""Clip keys: a name of everything in a clip that decides its frames, so that what changed is seen."""

import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from cico_platform.corpus.manifest import Clip, Corpus, resolve_inside
from cico_platform.errors import InputError
from cico_platform.schemas.clips import KEY_FIELDS
from cico_platform.shard_output import OutputError, attempt
from cico_platform.steps import content_key
from cico_platform.storage import Place, is_remote, object_version, place

ENDS_BYTES = 1 << 16
AT_ONCE = 16


@dataclass(frozen=True)
class FileFacts:
    """Facts about a clip's file that tell whether it has changed.

    Attributes
    ----------
    version
        A text that changes when the file, the folder of frames or the object does, or if it goes away.
    size, time
        Bytes and modification time in nanoseconds of a file on a disk, else None. While both stay the same,
        so does the version.
    """

    version: str
    size: int | None = None
    time: int | None = None


def clip_keys(corpus: Corpus, clips: Sequence[Clip]) -> dict[str, str]:
    """Return each clip's key, by its `video_id`, in the clips' order; reads the ends of every file.

    It changes with the file, the times and the box, and not with the text or the folder's place. A file is
    known by its size and its first and last 64 KiB; a folder of frames by the names and sizes of its files;
    an object behind a URL by what its store says of its version.
    """
    facts = facts_of(corpus.path, dict.fromkeys(clip.path for clip in clips))
    return {
        clip.video_id: clip_key(facts[clip.path].version, clip.start, clip.end, clip.crop) for clip in clips
    }


def key_columns(clips: Sequence[Clip], facts: Sequence[FileFacts | None]) -> pa.Table:
    """Return the columns `KEY_FIELDS` of a manifest; null where nothing is known of a file."""
    rows = [
        {
            "clip_key": clip_key(known.version, clip.start, clip.end, clip.crop),
            "file_version": known.version,
            "file_size": known.size,
            "file_time": known.time,
        }
        if known
        else {}
        for clip, known in zip(clips, facts, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(KEY_FIELDS))


def clip_key(version: str, start: float | None, end: float | None, crop: Sequence[float] | None) -> str:
    """Return the key of a clip of a file of this version."""
    return content_key(file=version, start=start, end=end, crop=crop and list(crop))


def facts_of(root: Place, paths: Mapping[str, FileFacts | None]) -> dict[str, FileFacts]:
    """Return the present facts of files, by their paths in the manifest.

    Parameters
    ----------
    paths
        Each path with its earlier facts, or None. A file whose size and time have not changed is not
        opened.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda path: file_facts(_resolved(root, path), paths[path]), paths)
        return dict(zip(paths, found, strict=True))


def unchanged(root: Place, path: str, known: FileFacts | None) -> bool:
    """Whether a local file still has the size and time of before; no file is opened."""
    if known is None or known.size is None or is_remote(root):
        return False
    try:
        found = Path(_resolved(root, path)).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and (known.size, known.time) == (found.st_size, found.st_mtime_ns)


def file_version(path: str) -> str:
    """Return `FileFacts.version` of a file, a folder of frames or an object."""
    return file_facts(path).version


def file_facts(path: str, known: FileFacts | None = None) -> FileFacts:
    """Return the present facts of a file; it is not opened if its size and time are those of `known`."""
    if not path or is_remote(path):
        return FileFacts(_object_version(path) if path else "outside")
    try:
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            return FileFacts(_folder_version(path))
        if not stat.S_ISREG(found.st_mode):
            return FileFacts("not a file")
        size, time = found.st_size, found.st_mtime_ns
        if known is not None and known.version and (known.size, known.time) == (size, time):
            return known
        return FileFacts(_ends_version(path, size), size, time)
    except (OSError, ValueError) as error:
        return FileFacts(type(error).__name__)


def _object_version(url: str) -> str:
    """What a store says of an object; a store that refuses is asked again, one that has none is not."""

    def ask() -> str:
        try:
            return object_version(url)
        except (FileNotFoundError, ValueError, InputError) as error:
            return type(error).__name__

    try:
        return attempt(place(url), ask)
    except OutputError as error:
        return type(error.__cause__).__name__


def _folder_version(path: str) -> str:
    with os.scandir(path) as entries:
        listing = sorted((entry.name, entry.stat().st_size) for entry in entries)
    return sha256(repr(listing).encode()).hexdigest()


def _ends_version(path: str, size: int) -> str:
    digest = sha256(str(size).encode())
    with Path(path).open("rb") as file:
        digest.update(file.read(ENDS_BYTES))
        file.seek(max(ENDS_BYTES, size - ENDS_BYTES))
        digest.update(file.read(ENDS_BYTES))
    return digest.hexdigest()


def _resolved(root: Place, path: str) -> str:
    try:
        return resolve_inside(root, path)
    except InputError:
        return ""
