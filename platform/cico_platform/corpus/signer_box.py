"""The signer in the frame and in time: a square around what moves, without the still head and tail."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.video import decode_clip

# Longest side that motion is looked for in; a hand is still several pixels wide.
SEARCH_SIDE = 192
MEDIAN_FRAMES = 64
# A change of less than this many grey levels, or of less than six deviations of the noise, is not motion.
LEAST_CHANGE = 8.0
NOISE_DEVIATIONS = 6.0
# More of the frame changing at once is a cut or a flash, not signing.
WHOLE_FRAME = 0.6
# The whole frame brighter or darker by so many grey levels is a fade.
FLASH = 16.0
MARGIN = 1.12
# The square is never smaller than this part of the frame's short side: a finger alone is not a signer.
LEAST_SIDE = 0.55
# A sign begins with a frame that moves at least this part of the clip's strongest motion (arms rise), and
# ends with the last that moves at all: many a sign is told by what fingers do once the arm is at rest.
HEAD_STILL, TAIL_STILL = 0.12, 0.01
LEAST_PIXELS = 3
HEAD_FRAMES = 1
# A sign may end in a hold that carries its handshape: so much of it stays, in seconds.
HOLD_SECONDS = 0.25

Grey = NDArray[np.float32]


class SignerBox(NamedTuple):
    """A square `[x0, y0, x1, y1]` in fractions of the frame, and the first and last frame that move."""

    crop: list[float]
    first_frame: int
    last_frame: int


def find_signer(source: NDArray[np.uint8] | str | Path, fps: float = 25.0) -> SignerBox:
    """Find the square in which a clip moves and the frames from its first to its last motion.

    Parameters
    ----------
    source
        Frames uint8 `[N, H, W, 3]` in their true aspect, of any scale, or a video's path.
    fps
        Frames a second of `source` (read off a path's file).

    Returns
    -------
    SignerBox
        Where nothing moves: the centred square and all frames.

    Raises
    ------
    ClipError
        If a path's file cannot be decoded.
    """
    if isinstance(source, str | Path):
        clip = decode_clip(source, longest=SEARCH_SIDE)
        source, fps = clip.frames, clip.fps
    grey = _grey(source)
    count, height, width = grey.shape
    whole = SignerBox(_square(0, 0, width, height, width, height), 0, count - 1)
    if count < 2:
        return whole
    step = _change(grey[1:], grey[:-1])
    threshold = max(LEAST_CHANGE, NOISE_DEVIATIONS * _deviation(step))
    median = _median(grey)
    usable = _usable(grey, median, threshold)
    seen = grey[usable]
    moved = _moved(seen, median if usable.all() else _median(seen), threshold)
    if moved is None:
        return whole
    left, top, right, bottom = moved
    inside = (slice(None), slice(top, bottom), slice(left, right))
    first, last = _span((step[inside] > threshold).mean((1, 2)), usable, grey[inside], threshold, fps)
    return SignerBox(_square(left, top, right, bottom, width, height), first, last)


def _grey(frames: NDArray[np.uint8]) -> Grey:
    """Smoothed grey frames at the search size, float32 `[N, h, w]`."""
    height, width = frames.shape[1:3]
    scale = min(1.0, SEARCH_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = (
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for frame in frames
    )
    return np.stack([cv2.GaussianBlur(frame, (3, 3), 0) for frame in small]).astype(np.float32)


def _change(frames: Grey, others: Grey) -> Grey:
    """Absolute change without what the whole frame shares (flicker, exposure)."""
    difference = frames - others
    difference -= np.median(difference[:, ::4, ::4], axis=(1, 2), keepdims=True)
    return np.asarray(np.abs(difference, out=difference), dtype=np.float32)


def _deviation(change: Grey) -> float:
    """Deviation of the noise, from the pixels that are still (most are)."""
    return float(np.median(change[:, ::2, ::2])) * 1.4826


def _usable(grey: Grey, median: Grey, threshold: float) -> NDArray[np.bool_]:
    """Which frames are of the scene that most are of, bool `[N]`."""
    apart = (_change(grey, median[None]) > threshold).mean((1, 2)) > WHOLE_FRAME
    dark = np.abs(np.median(grey - median, axis=(1, 2))) > FLASH
    odd = apart | dark
    return np.asarray(~odd if not odd.all() else np.ones(len(grey), bool))


def _median(grey: Grey) -> Grey:
    """Each pixel's median over the frames `[N, h, w]`, or over some of them."""
    chosen = np.linspace(0, len(grey) - 1, min(len(grey), MEDIAN_FRAMES)).round().astype(int)
    # NumPy sorts short contiguous rows several times faster than it partitions along the first axis.
    ordered = np.ascontiguousarray(grey[chosen].reshape(len(chosen), -1).T)
    ordered.sort(axis=1)
    low, high = ordered[:, (len(chosen) - 1) // 2], ordered[:, len(chosen) // 2]
    return np.asarray((low + high) / 2, dtype=np.float32).reshape(grey.shape[1:])


def _moved(frames: Grey, median: Grey, threshold: float) -> tuple[int, int, int, int] | None:
    """The box `(left, top, right, bottom)` of what differs from the median frame; None where nothing does."""
    changed = _change(frames, median[None]) > threshold
    cleaned = np.stack([cv2.erode(mask, np.ones((2, 2), np.uint8)) for mask in changed.astype(np.uint8)])
    seen = cleaned.sum(0)
    seen[seen < min(2, len(frames) - 1)] = 0
    # Where a limb stays long would outweigh where it passes: every place counts alike, but stray dots do not.
    places = cv2.morphologyEx((seen > 0).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    total = int(places.sum())
    if total < 9:
        return None
    left, right = _ends(places.sum(0), total)
    top, bottom = _ends(places.sum(1), total)
    return left, top, right, bottom


def _ends(profile: NDArray[np.int64], total: int) -> tuple[int, int]:
    """Where all but 0.5% at either end of a profile lies, end exclusive."""
    reached = np.cumsum(profile)
    low = int(np.searchsorted(reached, 0.005 * total, side="right"))
    return low, int(np.searchsorted(reached, 0.995 * total)) + 1


def _span(
    motion: NDArray[np.float64], usable: NDArray[np.bool_], grey: Grey, threshold: float, fps: float
) -> tuple[int, int]:
    """First and last frame of the sign; `motion[i]` is the part that moves from frame i to frame i + 1."""
    motion = np.where(usable[1:] & usable[:-1], motion, 0.0)
    kept = np.flatnonzero(usable)
    peak = float(np.quantile(motion, 0.95))
    strong = np.flatnonzero(motion > HEAD_STILL * peak)
    moving = np.flatnonzero(motion > max(TAIL_STILL * peak, LEAST_PIXELS / grey[0].size))
    if not len(strong) or not len(moving):
        return int(kept[0]), int(kept[-1])
    first, last = int(strong[0]), int(moving[-1]) + 1
    head = max(int(kept[0]), first - HEAD_FRAMES)
    # A tail that shows another pose than the head is a hold of the sign, not rest.
    apart = (np.abs(grey[int(kept[-1])] - grey[int(kept[0])]) > threshold).mean()
    hold = round(HOLD_SECONDS * fps) if apart > 0.02 else HEAD_FRAMES
    return head, min(int(kept[-1]), last + hold)


def _square(left: int, top: int, right: int, bottom: int, width: int, height: int) -> list[float]:
    """The square around a box, with a margin, inside the frame, in fractions."""
    short = min(width, height)
    side = min(max(max(right - left, bottom - top) * MARGIN, LEAST_SIDE * short), short)
    x = min(max((left + right - side) / 2, 0), width - side)
    y = min(max((top + bottom - side) / 2, 0), height - side)
    return [round(v, 5) for v in (x / width, y / height, (x + side) / width, (y + side) / height)]
