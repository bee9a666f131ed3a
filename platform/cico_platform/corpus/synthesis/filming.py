"""Filming: a clip's plan becomes frames, and frames an MP4 file."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.cast import Scene, Signer, tempo
from cico_platform.corpus.synthesis.painting import (
    SPACE,
    SPACE_CENTRE,
    SUPERSAMPLING,
    Camera,
    camera,
    paint_arm,
    paint_body,
    paint_head,
    place_arm,
)
from cico_platform.corpus.synthesis.scenery import background
from cico_platform.corpus.synthesis.timeline import SUBSTEPS, Timeline, build

FPS = 25
Image = NDArray[np.uint8]
Array = NDArray[np.float64]


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


def _lens(scene: Scene) -> NDArray[np.uint8]:
    """Light and contrast as a table [1, 256, 3]."""
    values = np.arange(256, dtype=float)[:, None]
    lit = ((values - 128) * scene.contrast + 128) * scene.gain * np.array(scene.cast)
    table: Image = np.clip(lit, 0, 255).astype(np.uint8)[None]
    return table


def rehearse(take: Take) -> Rehearsal:
    """Choose everything about a take but its pixels; cheap."""
    rng = generator(take.seed, take.video_id)
    timeline = build(take.glosses, tempo(take.who, rng), take.who.style, rng)
    return Rehearsal(timeline, _box(take.who.scene, camera(take.who.scene), rng))


def shoot(take: Take, rehearsal: Rehearsal) -> Image:
    """Draw all frames of a take: uint8 RGB [N, H, W, 3]."""
    rng = generator(take.seed, take.video_id, "film")
    scene, look = take.who.scene, take.who.look
    poses = rehearsal.timeline.poses
    see = camera(scene)
    width, height = scene.size
    stage = background(
        scene,
        SUPERSAMPLING * width,
        SUPERSAMPLING * height,
        generator(take.seed, take.who.name, "background"),
    )
    paint_body(stage, see, look)
    side = 1 if take.who.left else -1
    arms = [place_arm(poses[:, hand], side if hand == 0 else -side, see, look) for hand in (1, 0)]
    head = _head_moves(rehearsal.timeline, rng)

    def still(at: int) -> Image:
        image = stage.copy()
        paint_head(image, see, look, head[at])
        for arm in arms:
            paint_arm(image, see, look, arm, at)
        small: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return small

    frames = np.empty((rehearsal.frames, height, width, 3), np.uint8)
    blurred = _moves_fast(poses, scene.shutter * see.scale / SUPERSAMPLING)
    exposure = max(1, round(scene.shutter * SUBSTEPS))
    for frame in range(len(frames)):
        image = still(frame * SUBSTEPS)
        if blurred[frame]:
            later = still(min(frame * SUBSTEPS + exposure, len(poses) - 1))
            image = cv2.addWeighted(image, 0.5, later, 0.5, 0)
        frames[frame] = image
    return _degrade(frames, scene, rng)


def _moves_fast(poses: Array, pixels: float) -> NDArray[np.bool_]:
    """Frames in which a hand moves by more than a pixel while the shutter is open (`pixels` a unit)."""
    places = poses[::SUBSTEPS, :, :2]
    step = np.linalg.norm(np.diff(places, axis=0, append=places[-1:]), axis=2).max(axis=1)
    fast: NDArray[np.bool_] = step * pixels > 1.0
    return fast


def _degrade(frames: Image, scene: Scene, rng: np.random.Generator) -> Image:
    """Camera shake, lens blur, light and sensor noise."""
    height, width = frames.shape[1:3]
    lens = _lens(scene)
    grain = rng.normal(0, scene.noise, (8, height, width, 1)).astype(np.int16)
    drift = np.cumsum(rng.normal(0, 0.5 * scene.shake, (len(frames), 2)), axis=0)
    drift -= np.linspace(0, 1, len(frames))[:, None] * drift[-1]
    for index, frame in enumerate(frames):
        image = frame
        if scene.shake > 0:
            move = np.array([[1, 0, drift[index, 0]], [0, 1, drift[index, 1]]])
            image = cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        if scene.blur > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), scene.blur)
        image = cv2.LUT(image, lens)
        if scene.noise > 0.5:
            image = np.clip(image.astype(np.int16) + grain[int(rng.integers(8))], 0, 255)
        frames[index] = image
    return frames
