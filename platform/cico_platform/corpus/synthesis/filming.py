"""Filming: a clip's plan becomes frames, and frames an MP4 file."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.cast import Scene, Signer, tempo
from cico_platform.corpus.synthesis.figure import Arm, Head
from cico_platform.corpus.synthesis.painting import (
    SPACE,
    SPACE_CENTRE,
    SUPERSAMPLING,
    Camera,
    camera,
    paint_body,
)
from cico_platform.corpus.synthesis.scenery import background
from cico_platform.corpus.synthesis.sensor import LENS_REACH, Sensor, through_lens
from cico_platform.corpus.synthesis.timeline import SUBSTEPS, Timeline, build

FPS = 25
Image = NDArray[np.uint8]
Array = NDArray[np.float64]
Box = tuple[slice, slice]


@dataclass(frozen=True)
class Take:
    """What one video shows: who signs what; `seed` and `video_id` decide everything left to chance."""

    video_id: str
    glosses: tuple[str, ...]
    who: Signer
    seed: int


@dataclass(frozen=True)
class Rehearsal:
    """What is known of a take before it is drawn: poses, sign spans, and the signer's box as fractions."""

    timeline: Timeline
    crop: tuple[float, float, float, float]

    @property
    def frames(self) -> int:
        """Number of frames that the film will have."""
        return len(self.timeline.poses) // SUBSTEPS


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on the seed and the names alone, not on the order of calls."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def _head_moves(timeline: Timeline, rng: np.random.Generator) -> Array:
    """[T * SUBSTEPS, 4]: the head sways; it shakes to deny, and the brows rise to ask."""
    steps = len(timeline.poses)
    t = np.arange(steps) / SUBSTEPS
    moves = np.zeros((steps, 4))
    phase = rng.uniform(0, 2 * np.pi, 2)
    moves[:, 0] = 0.018 * np.sin(2 * np.pi * t / 31 + phase[0])
    moves[:, 1] = 0.014 * np.sin(2 * np.pi * t / 23 + phase[1])
    for gloss, start, end in timeline.spans:
        inside = slice(start * SUBSTEPS, end * SUBSTEPS)
        u = np.linspace(0, 1, len(moves[inside]))
        if gloss == "NOT":
            moves[inside, 0] += 0.09 * np.sin(4 * np.pi * u)
        if gloss in ("QUESTION", "WHERE", "WHY", "WHO"):
            moves[inside, 2] = np.sin(np.pi * u)
            moves[inside, 3] = np.sin(np.pi * u)
    return moves


def _box(scene: Scene, see: Camera, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """The signer's square as a detector would give it: off by some per cent, inside the frame."""
    width, height = scene.size
    side = SPACE * see.scale / SUPERSAMPLING
    x, y = see(np.array([[0.0, SPACE_CENTRE]]))[0] / 16 / SUPERSAMPLING
    x, y = x + side * rng.uniform(-0.04, 0.04), y + side * rng.uniform(-0.04, 0.04)
    side = min(side * rng.uniform(0.96, 1.04), width, height)
    left = float(np.clip(x - side / 2, 0, width - side))
    top = float(np.clip(y - side / 2, 0, height - side))
    box = (left / width, top / height, (left + side) / width, (top + side) / height)
    x0, y0, x1, y1 = (round(min(float(v), 1.0), 5) for v in box)
    return x0, y0, x1, y1


def rehearse(take: Take) -> Rehearsal:
    """Choose everything about a take but its pixels; cheap."""
    rng = generator(take.seed, take.video_id)
    timeline = build(take.glosses, tempo(take.who, rng), take.who.style, rng)
    return Rehearsal(timeline, _box(take.who.scene, camera(take.who.scene), rng))


@dataclass(frozen=True)
class _Stage:
    """What stays still: background and body, supersampled, at the frame's size, and as the lens sees it."""

    large: Image
    small: Image
    seen: Image


@lru_cache(maxsize=16)  # the clips of a signer share it
def _stage(who: Signer, seed: int) -> _Stage:
    scene = who.scene
    width, height = scene.size
    rng = generator(seed, who.name, "background")
    large = background(scene, SUPERSAMPLING * width, SUPERSAMPLING * height, rng)
    paint_body(large, camera(scene), who.look)
    small = _scaled(large)
    return _Stage(large, small, through_lens(small, scene))


def _scaled(image: Image) -> Image:
    """An image, or an aligned part of one, from supersampled to the frame's size."""
    height, width = image.shape[:2]
    size = (width // SUPERSAMPLING, height // SUPERSAMPLING)
    small: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


class _Stills:
    """Paints the signer's moments over the stage; only the part of the picture that can change is touched."""

    def __init__(self, stage: _Stage, head: Head, rear: Arm, front: Arm) -> None:
        self.head, self.rear, self.front = head, rear, front
        self.base, self.canvas = stage.large.copy(), stage.large.copy()
        self.stage = stage.large
        height, width = self.stage.shape[:2]
        parts = np.stack([head.box, rear.box, front.box])
        touched = np.concatenate([parts[..., :2].min(axis=0), parts[..., 2:].max(axis=0)], axis=1)
        touched = np.clip(touched, 0, [width, height, width, height])
        self.boxes = touched // SUPERSAMPLING
        self.boxes[:, 2:] = -(-touched[:, 2:] // SUPERSAMPLING)
        first, last = head.box[:, :2].min(axis=0), head.box[:, 2:].max(axis=0)
        beside = np.concatenate([rear.box[:, :2] >= last, rear.box[:, 2:] <= first], axis=1)
        self.beside_head = np.any(beside, axis=1).tolist()
        self.before: int | None = None
        self.resting: int | None = None

    def part(self, at: int, box: Box) -> Image:
        """A part of one moment, at the frame's size; it must hold what `boxes` says."""
        whole = tuple(slice(SUPERSAMPLING * s.start, SUPERSAMPLING * s.stop) for s in box)
        self._rest(at)
        self.head.draw(self.canvas, at)
        if self.resting is None:
            self.rear.draw(self.canvas, at)
        self.front.draw(self.canvas, at)
        image = _scaled(self.canvas[whole])
        self.canvas[whole] = self.base[whole]
        self.before = at
        return image

    def _rest(self, at: int) -> None:
        """Paint the rear arm once for as long as it keeps still; half of the time it does."""
        if self.resting is not None and not self.rear.is_same(at, self.resting):
            self.base[:], self.canvas[:] = self.stage, self.stage
            self.resting = None
        if self.resting is not None or self.before is None or not self.beside_head[at]:
            return
        if self.rear.is_same(at, self.before):
            self.rear.draw(self.base, at)
            self.rear.draw(self.canvas, at)
            self.resting = at


def shoot(take: Take, rehearsal: Rehearsal) -> Image:
    """Draw all frames of a take: uint8 RGB [N, H, W, 3]."""
    rng = generator(take.seed, take.video_id, "film")
    scene, look = take.who.scene, take.who.look
    poses = rehearsal.timeline.poses
    see = camera(scene)
    side = 1 if take.who.left else -1
    rear, front = (Arm.of(poses[:, hand], side if hand == 0 else -side, see, look) for hand in (1, 0))
    head = Head.of(see, look, _head_moves(rehearsal.timeline, rng))
    stage = _stage(take.who, take.seed)
    stills = _Stills(stage, head, rear, front)
    sensor = Sensor(scene, rehearsal.frames, rng)

    moments = np.arange(rehearsal.frames) * SUBSTEPS
    later = np.minimum(moments + max(1, round(scene.shutter * SUBSTEPS)), len(poses) - 1)
    later = np.where(_moves_fast(poses, scene.shutter * see.scale / SUPERSAMPLING), later, moments)
    width, height = scene.size
    frames = np.empty((rehearsal.frames, height, width, 3), np.uint8)
    for index, (at, until) in enumerate(zip(moments.tolist(), later.tolist(), strict=True)):
        box, inner, outer = _parts(stills.boxes[[at, until]], scene.size)
        image = stills.part(at, outer)
        if until != at:
            image = cv2.addWeighted(image, 0.5, stills.part(until, outer), 0.5, 0)
        frame = frames[index]
        if sensor.shakes:
            frame[:] = stage.small
            frame[outer] = image
            frame[:] = through_lens(sensor.shaken(frame, index), scene)
        else:
            frame[:] = stage.seen
            frame[box] = through_lens(image, scene)[inner]
        sensor.add_noise(frame)
    return frames


def _parts(boxes: NDArray[np.int64], size: tuple[int, int]) -> tuple[Box, Box, Box]:
    """What the lens changes of a frame in which `boxes` [2, 4] changed: in the frame, and inside the last.

    The last is what the lens needs to see for it.
    """
    low, high = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    changed, within, needed = [], [], []
    for start, end, length in zip(low, high, size, strict=True):
        first, last = max(0, start - LENS_REACH), min(length, end + LENS_REACH)
        begin = max(0, first - LENS_REACH)
        changed.append(slice(first, last))
        within.append(slice(first - begin, last - begin))
        needed.append(slice(begin, min(length, last + LENS_REACH)))
    return (changed[1], changed[0]), (within[1], within[0]), (needed[1], needed[0])


def _moves_fast(poses: Array, pixels: float) -> NDArray[np.bool_]:
    """Frames in which a hand moves by more than a pixel while the shutter is open (`pixels` a unit)."""
    places = poses[::SUBSTEPS, :, :2]
    step = np.linalg.norm(np.diff(places, axis=0, append=places[-1:]), axis=2).max(axis=1)
    fast: NDArray[np.bool_] = step * pixels > 1.0
    return fast
