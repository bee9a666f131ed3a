"""Clips as a page beside them shows them: where the file is, which part of it, a picture of the middle."""

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from PIL import Image

from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError, DecodeLimits
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.errors import CicoError
from cico_platform.storage import Place, is_remote

# What browsers play from a file.
PLAYABLE = {".mp4", ".m4v", ".mov", ".webm", ".ogv"}
POSTER_SIDE, POSTER_QUALITY = 256, 72
POSTER_SECONDS = 0.5
# A poster is a nicety: a clip that takes longer goes without.
PATIENCE = DecodeLimits(seconds=10.0)


@dataclass(frozen=True)
class ClipView:
    """A clip to be shown.

    Attributes
    ----------
    src
        URL relative to the page's folder, with the clip's part of the file as media fragment; None where a
        browser can't play it from there.
    poster
        A JPEG as data URI; None where no frame could be had.
    start, end
        Seconds in the file, where the clip is a part of it.
    """

    clip: Clip
    src: str | None
    poster: str | None
    start: float | None
    end: float | None


def clip_viewer(corpus: Corpus, page_folder: Place) -> Callable[[Clip], ClipView]:
    """Makes views of a corpus' clips for a page in a folder; each clip is opened once."""
    seen: dict[str, ClipView] = {}

    def view(clip: Clip) -> ClipView:
        if clip.video_id not in seen:
            seen[clip.video_id] = view_clip(corpus, clip, page_folder)
        return seen[clip.video_id]

    return view


def view_clip(corpus: Corpus, clip: Clip, page_folder: Place) -> ClipView:
    """The view of one clip; whatever is wrong with the clip, there is one."""
    try:
        path = corpus.resolve(clip)
    except CicoError:
        return ClipView(clip, None, None, None, None)
    return ClipView(clip, _source(path, clip, page_folder), _poster(path, clip), clip.start, clip.end)


def _source(path: str, clip: Clip, page_folder: Place) -> str | None:
    if is_remote(path) or is_remote(page_folder) or PurePosixPath(path).suffix.lower() not in PLAYABLE:
        return None
    try:
        if not Path(path).is_file():
            return None
        folder = Path(str(page_folder)).absolute()
        url = quote(Path(os.path.relpath(path, folder.parent.resolve() / folder.name)).as_posix())
    except (OSError, ValueError):
        return None
    if clip.start is None and clip.end is None:
        return url
    return f"{url}#t={clip.start or 0:.3f}" + (f",{clip.end:.3f}" if clip.end is not None else "")


def _poster(path: str, clip: Clip) -> str | None:
    first = clip.start or 0.0
    length = clip.frames / clip.fps if clip.frames and clip.fps else 0.0
    length = clip.end - first if clip.end is not None else length
    for moment in dict.fromkeys((first + length / 2, first)):
        try:
            frames = decode_isolated(
                path, start=moment, end=moment + POSTER_SECONDS, longest=POSTER_SIDE, limits=PATIENCE
            ).frames
            buffer = BytesIO()
            Image.fromarray(frames[0]).save(buffer, "JPEG", quality=POSTER_QUALITY)
            return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        except (ClipError, OSError, ValueError):
            continue
    return None
