"""Frame folders: a clip given as numbered PNG or JPEG files."""

import math
import re
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cico_platform.corpus.limits import (
    ClipError,
    DecodedClip,
    DecodeLimits,
    check_pixels,
    crop_pixels,
    target_size,
)
from cico_platform.storage import Place

IMAGES = {".png", ".jpg", ".jpeg"}
FRAME_FOLDER_FPS = 25.0
EPSILON = 1e-6


def frame_files(folder: Place) -> list[Place]:
    """The folder's images in the order of the numbers in their names."""
    files = [
        path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not path.name.startswith(".")
    ]
    return sorted(files, key=lambda p: [int(x) if x.isdecimal() else x for x in re.split(r"(\d+)", p.stem)])


def frame_positions(files: list[Place]) -> list[int]:
    """The number of each frame among all frames of its clip, from 0: what is missing in between counts, too.

    Numbers in the names tell it where they go up in even steps but for gaps (`1, 2, 5` or `0, 5, 10, 20`).
    If more were missing than there are, they mean something else, and the files are taken as they come.

    Raises
    ------
    ClipError
        If two files have the same number: they would be the frames of two clips, or each frame twice.
    """
    named = [tuple(int(part) for part in re.findall(r"\d+", path.stem)) for path in files]
    for (before, path), (after, other) in pairwise(
        sorted(zip(named, files, strict=True), key=lambda p: p[0])
    ):
        if before and before == after:
            raise ClipError(f"the folder holds two frames of one number: '{path.name}' and '{other.name}'")
    counted = list(range(len(files)))
    if len({len(one) for one in named}) != 1:
        return counted
    columns = [column for column in zip(*named, strict=True) if len(set(column)) > 1]
    if len(columns) != 1 or len(set(columns[0])) < len(files):
        return counted
    steps = [after - before for before, after in pairwise(columns[0])]
    step = math.gcd(*steps)
    found = [(number - columns[0][0]) // step for number in columns[0]]
    return found if min(steps) > 0 and found[-1] < 2 * len(files) else counted


def read_frame_folder(
    folder: Place,
    start: float | None,
    end: float | None,
    crop: list[float] | None,
    size: int | None,
    longest: int | None,
    limits: DecodeLimits,
) -> DecodedClip:
    """Read a folder of frames as a clip of 25 frames a second; a frame that cannot be read is left out.

    Raises
    ------
    ClipError
        If no image can be read, two have the same number, or a limit is exceeded.
    """
    files = frame_files(folder)
    if not files:
        raise ClipError("the folder holds no PNG or JPEG frames")
    positions = frame_positions(files)
    whole = positions[-1] + 1
    first = 0 if start is None else max(0, _next_frame(start))
    last = whole if end is None else min(whole, _next_frame(end))
    chosen = [(at, path) for at, path in zip(positions, files, strict=True) if first <= at < last]
    if len(chosen) > limits.frames:
        raise ClipError(f"more than {limits.frames} frames; give start and end, or raise the limit")
    frames: list[NDArray[np.uint8]] = []
    numbers: list[int] = []
    held, source_size = 0, (0, 0)
    out: tuple[int, int] | None = None
    reason = "no frame lies in the clip's time"
    for number, path in chosen:
        try:
            frame, shown = _read(path, crop, size, longest, out, limits)
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
            reason = f"frame '{path.name}' cannot be read: {str(error).splitlines()[0]}"
            continue
        held += frame.nbytes
        if held > limits.bytes:
            raise ClipError(f"more than {limits.bytes} bytes of frames; give start and end, or a size")
        source_size = source_size if frames else shown
        out = (frame.shape[1], frame.shape[0])
        frames.append(frame)
        numbers.append(number)
    if not frames:
        raise ClipError(reason)
    ends = (numbers[-1] + 1) / FRAME_FOLDER_FPS
    return DecodedClip(
        np.stack(frames),
        FRAME_FOLDER_FPS,
        np.asarray(numbers) / FRAME_FOLDER_FPS,
        truncated=len(frames) < last - first,
        source_size=source_size,
        end=ends if end is None else min(ends, end),
        short=end is not None and ends < end - 1 / FRAME_FOLDER_FPS - EPSILON,
        stored_size=source_size,
        source_frames=np.asarray(numbers, dtype=np.int64),
    )


def _next_frame(moment: float) -> int:
    """The first frame that does not appear before a moment."""
    return math.ceil((moment - EPSILON) * FRAME_FOLDER_FPS)


def _read(
    path: Place,
    crop: list[float] | None,
    size: int | None,
    longest: int | None,
    out: tuple[int, int] | None,
    limits: DecodeLimits,
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """One picture, at the size `out` of those before it, and the size of the whole frame."""
    if not path.is_file():
        raise ValueError("not a plain file")
    with path.open("rb") as file, Image.open(file, formats=["PNG", "JPEG"]) as image:
        check_pixels(image.width, image.height, limits)
        frame = _upright(image)
    source_size = (frame.shape[1], frame.shape[0])
    x, y, width, height = crop_pixels(crop, frame.shape[1], frame.shape[0])
    frame = frame[y : y + height, x : x + width]
    out = out or target_size(width, height, size, longest)
    if out == (width, height):
        return frame, source_size
    how = cv2.INTER_AREA if out[0] <= width and out[1] <= height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, out, interpolation=how), dtype=np.uint8), source_size


def _upright(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels uint8 [H, W, 3], turned as the EXIF data say; 16 bits a pixel are brought to 8."""
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):
        deep = np.asarray(turned).astype(np.int64).clip(0, (1 << 16) - 1)
        turned = Image.fromarray((deep >> 8).astype(np.uint8))
    if turned.has_transparency_data:  # on black, as players show it: the colour beneath is arbitrary
        shown = turned.convert("RGBA")
        turned = Image.alpha_composite(Image.new("RGBA", shown.size, (0, 0, 0, 255)), shown)
    return np.asarray(turned.convert("RGB"))
