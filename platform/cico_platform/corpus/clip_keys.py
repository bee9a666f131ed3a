"""Clip keys: a name of everything in a clip that decides its frames, so that what changed is seen."""

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.errors import InputError
from cico_platform.steps import content_key
from cico_platform.storage import is_remote, remote_version

ENDS_BYTES = 1 << 16
AT_ONCE = 16


def clip_keys(corpus: Corpus, clips: Sequence[Clip]) -> dict[str, str]:
    """Each clip's key, by its `video_id`, in the clips' order.

    It changes with the file, the times and the box, and not with the text or the folder's place. A file is
    known by its size and its first and last 64 KiB; a folder of frames by the names and sizes of its files;
    an object behind a URL by what its store says of its version.
    """
    paths = {clip.path: _resolved(corpus, clip) for clip in clips}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        versions = dict(zip(paths, pool.map(file_version, paths.values()), strict=True))
    return {
        clip.video_id: content_key(
            file=versions[clip.path], start=clip.start, end=clip.end, crop=clip.crop and list(clip.crop)
        )
        for clip in clips
    }


def file_version(path: str) -> str:
    """A text that changes when the file, the folder of frames or the object does, or if it goes away."""
    if not path or is_remote(path):
        return remote_version(path) if path else "outside"
    try:
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(path) as entries:
                listing = sorted((entry.name, entry.stat().st_size) for entry in entries)
            return sha256(repr(listing).encode()).hexdigest()
        if not stat.S_ISREG(found.st_mode):
            return "not a file"
        digest = sha256(str(found.st_size).encode())
        with Path(path).open("rb") as file:
            digest.update(file.read(ENDS_BYTES))
            file.seek(max(ENDS_BYTES, found.st_size - ENDS_BYTES))
            digest.update(file.read(ENDS_BYTES))
        return digest.hexdigest()
    except (OSError, ValueError) as error:
        return type(error).__name__


def _resolved(corpus: Corpus, clip: Clip) -> str:
    try:
        return corpus.resolve(clip)
    except InputError:
        return ""
