"""Tiles: the frames of one isolated clip as JPEG in one file, so that any of them is read by itself.

A composed video uses every fifth frame or so of each clip, and each clip is in several videos.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

# In full colour resolution; that loses less than H.264 does in the videos that are made of tiles.
QUALITY = 90
_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY,
    QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
# The file: how many frames (uint64), where each one ends (uint64 from the file's start), then the frames.
_WORD = np.dtype("<u8")


def write_tile(path: Path, frames: Frames) -> None:
    """Write frames, uint8 RGB `[N, H, W, 3]`."""
    images = [cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _JPEG)[1] for frame in frames]
    sizes = np.array([image.nbytes for image in images])
    ends = (len(images) + 1) * _WORD.itemsize + np.cumsum(sizes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(np.array([len(images), *ends], _WORD).tobytes())
        for image in images:
            file.write(image.tobytes())


def tile_length(path: Path) -> int:
    """Number of frames in a tile."""
    return int(np.fromfile(path, _WORD, 1)[0])


def read_tile(path: Path, frames: Sequence[int]) -> Frames:
    """Frames of a tile by their numbers, uint8 RGB `[len(frames), H, W, 3]`."""
    count = tile_length(path)
    ends = np.fromfile(path, _WORD, count, offset=_WORD.itemsize).astype(int).tolist()
    starts = [(count + 1) * _WORD.itemsize, *ends]
    decoded: dict[int, Frames] = {}
    with path.open("rb") as file:
        for number in sorted(set(frames)):
            file.seek(starts[number])
            image = np.frombuffer(file.read(ends[number] - starts[number]), np.uint8)
            decoded[number] = cv2.cvtColor(cv2.imdecode(image, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return np.stack([decoded[number] for number in frames])
