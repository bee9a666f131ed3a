"""The frames of a clip as pictures, exactly as the sign encoder's pipeline gets them, to be looked at."""

import time
from io import BytesIO
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.errors import InputError
from cico_platform.steps import write_json
from cico_platform.storage import Place, place, write_whole

FRAMES_FILE = "frames.json"
# Whole frames are decoded so many at a time: a clip of them may take more memory than there is.
FULL_FRAMES_AT_ONCE = 64


def export_frames(
    corpus: str | Place, video_id: str, out: str | Place, *, full: bool = False, size: int = 256
) -> dict[str, Any]:
    """Write the frames of a clip as `00000.png` and so on, and `frames.json`.

    `frames.json` holds `times` (seconds on the clock that a player of the file shows), `fps` (measured),
    `source_frames` (the number of each frame among all frames of the file, in the order in which they are
    shown), `crop` (the manifest's, in fractions of the upright frame; null is all of it), `truncated` and
    `short`.

    Parameters
    ----------
    corpus
        A corpus folder.
    video_id
        A clip of it.
    out
        The folder to write; pictures that an earlier export left there are removed.
    full
        Whole frames, upright and in their true aspect, instead of the square that the encoder gets.
    size
        Side of that square in pixels, the encoder's `config.resize`.

    Returns
    -------
    dict
        What `frames.json` holds, and `done`, `skipped`, `quarantined`, `seconds`, `frames` (their number).

    Raises
    ------
    InputError
        If there is no such clip, or none of its frames can be had; the message is the reason.
    """
    began, source, folder = time.monotonic(), Corpus(corpus), place(out)
    clip = source.clip(video_id)
    if clip is None:
        raise InputError(f"'{corpus}' has no clip '{video_id}'")
    path = source.resolve(clip)
    try:
        decoded = decode_isolated(
            path, start=clip.start, end=clip.end, crop=clip.crop, size=size, numbered=True
        )
        _clear(folder)
        if full:
            _write_whole_frames(folder, path, clip, decoded.boundaries())
        else:
            for number, frame in enumerate(decoded.frames):
                _write(folder, number, frame)
    except ClipError as error:
        raise InputError(f"'{video_id}' has no frames: {error}") from error
    assert decoded.source_frames is not None
    about = {
        "times": [round(moment, 6) for moment in decoded.times.tolist()],
        "fps": decoded.fps,
        "source_frames": decoded.source_frames.tolist(),
        "crop": clip.crop,
        "truncated": bool(clip.truncated or decoded.truncated),
        "short": bool(clip.short or decoded.short),
    }
    write_json(folder / FRAMES_FILE, about)
    seconds = round(time.monotonic() - began, 3)
    counts = {"done": 1, "skipped": 0, "quarantined": 0, "seconds": seconds, "frames": len(decoded.frames)}
    return {**counts, **about}


def _write_whole_frames(folder: Place, path: str, clip: Clip, boundaries: NDArray[np.float64]) -> None:
    """Decode the same frames again, whole, some at a time."""
    numbers, frames = count(), len(boundaries) - 1
    for first in range(0, frames, FULL_FRAMES_AT_ONCE):
        last = first + FULL_FRAMES_AT_ONCE
        start = clip.start if first == 0 else float(boundaries[first])
        end = clip.end if last >= frames else float(boundaries[last])
        for frame in decode_isolated(path, start=start, end=end).frames:
            _write(folder, next(numbers), frame)


def _clear(folder: Place) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.suffix == ".png" and old.stem.isdigit():
            old.unlink()


def _write(folder: Place, number: int, frame: NDArray[np.uint8]) -> None:
    buffer = BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=1)
    write_whole(folder / f"{number:05d}.png", buffer.getvalue())
