"""Rendering a composed video: isolated clips in a row, each at its speed, one framing and colour for all."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.encode import write_video
from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.tile import read_tile, tile_length, write_tile
from cico_platform.corpus.video import ClipError, decode_clip

FASTEST_FRAMES, SLOWEST_FRAMES = 8, 26
# Of x264: as fine as "veryfast" at the same CRF, in two thirds of its time; the files are larger by half.
PRESET = "superfast"

Frames = NDArray[np.uint8]


def make_tile(row: dict[str, Any]) -> dict[str, Any]:
    """Cut an isolated clip to the signer and store it small, for the many sentences that use it.

    Parameters
    ----------
    row
        `{"video_id", "path", "start", "end", "crop", "size", "tile"}`.

    Returns
    -------
    dict
        `{"video_id", "frames", "fps", "reason"}`.
    """
    try:
        clip = decode_isolated(
            row["path"], start=row["start"], end=row["end"], crop=row["crop"], size=row["size"]
        )
        write_tile(Path(row["tile"]), clip.frames)
        return {"video_id": row["video_id"], "frames": len(clip.frames), "fps": clip.fps, "reason": ""}
    except Exception as error:  # a broken clip costs itself, not the run
        return {"video_id": row["video_id"], "frames": 0, "fps": 0.0, "reason": _reason(error)}


def render(row: dict[str, Any]) -> dict[str, Any]:
    """Render one video from tiles; one that is there already (from a killed run) is kept.

    Parameters
    ----------
    row
        `{"video_id", "out", "tiles": [path], "seed", "stride", "speed" (or None), "speeds": [low, high],
        "size", "fps"}`; `stride` is how many source frames make one frame at speed 1.

    Returns
    -------
    dict
        `{"video_id", "frames", "fps", "reason"}`.
    """
    result = {"video_id": row["video_id"], "fps": row["fps"], "reason": ""}
    try:
        out = Path(row["out"])
        if out.is_file():
            return {**result, "frames": len(decode_clip(out, size=8).frames)}
        rng = random.Random(row["seed"])
        signs = []
        for tile in row["tiles"]:
            speed = row["speed"] if row["speed"] is not None else rng.uniform(*row["speeds"])
            chosen = sample(tile_length(Path(tile)), row["stride"] * speed)
            signs.append(read_tile(Path(tile), chosen))
        frames = vary(join(signs), row["size"], rng)
        write_video(out, frames, row["fps"], preset=PRESET)
        return {**result, "frames": len(frames)}
    except Exception as error:  # as above
        return {**result, "frames": 0, "reason": _reason(error)}


def sample(frames: int, stride: float) -> list[int]:
    """Every `stride`-th of so many frames, at least 8 and at most 26 of them (a short clip repeats some)."""
    count = min(max(round(frames / stride), FASTEST_FRAMES), SLOWEST_FRAMES)
    return [int(number) for number in np.linspace(0, frames - 1, count).round()]


def join(signs: list[Frames]) -> Frames:
    """One sign after another; a frame that is half of each stands between, so no frame of a sign is lost."""
    joined = [signs[0]]
    for before, sign in pairwise(signs):
        joined += [cv2.addWeighted(before[-1], 0.5, sign[0], 0.5, 0)[None], sign]
    return np.concatenate(joined)


def vary(frames: Frames, size: int, rng: random.Random) -> Frames:
    """One small change of framing and colour for all frames, scaled to `size`."""
    height, width = frames.shape[1:3]
    zoom = size / min(height, width) * rng.uniform(1.0, 1.1)
    shift = [rng.uniform(-0.04, 0.04) * size for _ in range(2)]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-2, 2), zoom)
    turn[:, 2] += np.array([size / 2 - width / 2 + shift[0], size / 2 - height / 2 + shift[1]])
    gains = np.array([rng.uniform(0.9, 1.1) for _ in range(3)]) * rng.uniform(0.9, 1.15)
    levels = np.arange(256)[:, None] * gains + rng.uniform(-8, 8)
    table = np.clip(levels, 0, 255).astype(np.uint8)[None]
    moved = (
        cv2.warpAffine(f, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for f in frames
    )
    return np.stack([cv2.LUT(frame, table) for frame in moved])


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return first if isinstance(error, ClipError) else f"{type(error).__name__}: {first}"
