"""Filming: a clip's plan becomes frames, and frames an MP4 file."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.cast import Scene, Signer, tempo
from cico_platform.corpus.synthesis.figure import Arm, Boxes, Head
from cico_platform.corpus.synthesis.painting import (
    SPACE,
    SPACE_CENTRE,
    SUPERSAMPLING,
    Camera,
    camera,
    paint_body,
)
from cico_platform.corpus.synthesis.scenery import background
from cico_platform.corpus.synthesis.sensor import LENS_REACH, Lens, Sensor
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
    """Background and body, the still part of a clip: supersampled, at frame size, and after the lens."""

    large: Image
    small: Image
    lens: Lens
    seen: Image


@lru_cache(maxsize=16)  # the clips of a signer share it
def _stage(who: Signer, seed: int) -> _Stage:
    scene = who.scene
    width, height = scene.size
    rng = generator(seed, who.name, "background")
    large = background(scene, SUPERSAMPLING * width, SUPERSAMPLING * height, rng)
    paint_body(large, camera(scene), who.look)
    small = _scaled(large)
    lens = Lens(scene)
    return _Stage(large, small, lens, lens(small))


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
        low = np.clip(parts[..., :2].min(axis=0), 0, [width, height])
        high = np.clip(parts[..., 2:].max(axis=0), 0, [width, height])
        self.boxes = np.concatenate([low // SUPERSAMPLING, -(-high // SUPERSAMPLING)], axis=1)
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


def _moments(poses: Array, scene: Scene, scale: float) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
    """The moments that are painted, and each frame's first and last of them (as places in the former)."""
    opened = np.arange(len(poses) // SUBSTEPS) * SUBSTEPS
    closed = np.minimum(opened + max(1, round(scene.shutter * SUBSTEPS)), len(poses) - 1)
    closed = np.where(_moves_fast(poses, scene.shutter * scale / SUPERSAMPLING), closed, opened)
    moments, places = np.unique(np.stack([opened, closed], axis=1), return_inverse=True)
    pairs = places.reshape(-1, 2).tolist()
    return moments, [(first, last) for first, last in pairs]


def shoot(take: Take, rehearsal: Rehearsal) -> Image:
    """Draw all frames of a take: uint8 RGB [N, H, W, 3]."""
    rng = generator(take.seed, take.video_id, "film")
    scene, look = take.who.scene, take.who.look
    see = camera(scene)
    moments, exposures = _moments(rehearsal.timeline.poses, scene, see.scale)
    poses = rehearsal.timeline.poses[moments]
    side = 1 if take.who.left else -1
    rear, front = (Arm.of(poses[:, hand], side if hand == 0 else -side, see, look) for hand in (1, 0))
    head = Head.of(see, look, _head_moves(rehearsal.timeline, rng)[moments])
    stage = _stage(take.who, take.seed)
    stills = _Stills(stage, head, rear, front)
    sensor = Sensor(scene, rehearsal.frames, rng)

    width, height = scene.size
    frames = np.empty((rehearsal.frames, height, width, 3), np.uint8)
    for index, (opened, closed) in enumerate(exposures):
        changed, within, needed = _parts(stills.boxes[opened], stills.boxes[closed], scene.size)
        image = stills.part(opened, needed)
        if closed != opened:
            image = cv2.addWeighted(image, 0.5, stills.part(closed, needed), 0.5, 0)
        frame = frames[index]
        if sensor.shakes:
            frame[:] = stage.small
            frame[needed] = image
            frame[:] = stage.lens(sensor.shaken(frame, index))
        else:
            frame[:] = stage.seen
            frame[changed] = stage.lens(image)[within]
        sensor.add_noise(frame)
    return frames


def _parts(first: Boxes, last: Boxes, size: tuple[int, int]) -> tuple[Box, Box, Box]:
    """Where a frame looks other than the stage, if two moments change these boxes [4].

    Returns
    -------
    What the lens changes, in the frame; the same inside of what it needs to see; what it needs to see.
    """
    low, high = np.minimum(first[:2], last[:2]).tolist(), np.maximum(first[2:], last[2:]).tolist()
    changed, within, needed = [], [], []
    for start, end, length in zip(low, high, size, strict=True):
        begin, stop = max(0, start - LENS_REACH), min(length, end + LENS_REACH)
        origin = max(0, begin - LENS_REACH)
        changed.append(slice(begin, stop))
        within.append(slice(begin - origin, stop - origin))
        needed.append(slice(origin, min(length, stop + LENS_REACH)))
    return (changed[1], changed[0]), (within[1], within[0]), (needed[1], needed[0])


def _moves_fast(poses: Array, pixels: float) -> NDArray[np.bool_]:
    """Frames in which a hand moves by more than a pixel while the shutter is open (`pixels` a unit)."""
    places = poses[::SUBSTEPS, :, :2]
    step = np.linalg.norm(np.diff(places, axis=0, append=places[-1:]), axis=2).max(axis=1)
    fast: NDArray[np.bool_] = step * pixels > 1.0
    return fast
