"""Timelines: signs one after another, with the hands' ways between them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.handshapes import HANDSHAPES
from cico_platform.corpus.synthesis.lexicon import LEXICON
from cico_platform.corpus.synthesis.movement import REST, Style, sign_poses

Array = NDArray[np.float64]
SUBSTEPS = 4


@dataclass(frozen=True)
class Tempo:
    """How fast one clip is signed; frames at 25 a second.

    Attributes
    ----------
    stroke, transition
        Mean length of a sign, and of the way from one to the next.
    spread
        Relative standard deviation of both.
    lead
        Length of raising the hands at the start, and of lowering them at the end.
    blend
        Co-articulation: standard deviation, in frames, of the smoothing of places; handshapes get 1.5 of it.
    linger
        Probability that a hand with nothing to do stays where it is instead of sinking.
    ready
        Probability that a hand comes from somewhere before the body, or goes there, instead of rest.
    """

    stroke: float
    transition: float
    spread: float
    lead: float
    blend: float
    linger: float
    ready: float


@dataclass(frozen=True)
class Timeline:
    """Poses [T * SUBSTEPS, 2, POSE_SIZE], and each sign's first and last frame (exclusive)."""

    poses: Array
    spans: list[tuple[str, int, int]]


def _ease(u: Array) -> Array:
    return u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)


def _ends(ready: float, rng: np.random.Generator) -> Array:
    """Poses [2, POSE_SIZE] before the first sign or after the last: at rest, or anywhere before the body."""
    poses = np.stack([REST, REST])
    for hand in (0, 1):
        if rng.random() < ready:
            shape = HANDSHAPES[str(rng.choice(list(HANDSHAPES)))]
            place = (
                rng.uniform(0.0, 1.0),
                rng.uniform(-0.6, 1.6),
                rng.uniform(-40, 120),
                rng.uniform(0, 180),
            )
            poses[hand] = np.concatenate([place, shape])
    return poses


def _fill_idle(strokes: list[Array], before: Array, tempo: Tempo, rng: np.random.Generator) -> None:
    """Give a hand that a sign does not use a pose: where it was, sunk a little, or at rest."""
    last = before[1]
    for index, stroke in enumerate(strokes):
        if np.isnan(stroke[0, 1, 0]):
            later = [s for s in strokes[index + 1 : index + 2] if not np.isnan(s[0, 1, 0])]
            stays = rng.random() < tempo.linger
            low = REST.copy()
            low[1] = 1.75
            previous = last if stays else low
            if stays and later and rng.random() < 0.5:
                previous = later[0][0, 1]
            if previous[1] < 1.0:
                previous = previous.copy()
                previous[1] += 0.35
            stroke[:, 1] = previous if len(strokes) > 1 else before[1]
        last = stroke[-1, 1]


def _smooth(poses: Array, frames: float) -> Array:
    if frames <= 0:
        return poses
    sigma = frames * SUBSTEPS
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.concatenate([poses[:1].repeat(reach, 0), poses, poses[-1:].repeat(reach, 0)])
    flat = padded.reshape(len(padded), -1)
    smooth = np.stack([np.convolve(flat[:, c], kernel, "valid") for c in range(flat.shape[1])], axis=1)
    return smooth.reshape(poses.shape)


def _between(start: Array, end: Array, steps: int, bow: float) -> Array:
    s = _ease((np.arange(steps) + 0.5) / steps)[:, None, None]
    way = (1 - s) * start + s * end
    lift = np.sin(np.pi * s[:, :, 0]) * bow * np.hypot(*(end - start)[:, :2].T)
    way[:, :, 1] -= lift
    return way


def _steps(mean: float, least: float, tempo: Tempo, rng: np.random.Generator) -> int:
    """A length in moments, by lot around the mean (both in frames)."""
    return round(SUBSTEPS * max(mean * float(np.clip(rng.normal(1, tempo.spread), 0.6, 1.6)), least))


def _stroke(gloss: str, tempo: Tempo, style: Style, rng: np.random.Generator) -> Array:
    """One sign as it happens to be made this time."""
    sign = LEXICON[gloss]
    steps = _steps(tempo.stroke * (0.85 if sign.movement == "hold" and not sign.into else 1.0), 3, tempo, rng)
    this_time = replace(
        style,
        reach=style.reach * float(np.clip(rng.normal(1, 0.08), 0.7, 1.3)),
        shift=(style.shift[0] + rng.normal(0, 0.05), style.shift[1] + rng.normal(0, 0.05)),
        turn=style.turn + rng.normal(0, 5),
        facing=style.facing + rng.normal(0, 6),
    )
    return sign_poses(sign, (np.arange(steps) + 0.5) / steps, this_time)


def build(glosses: tuple[str, ...], tempo: Tempo, style: Style, rng: np.random.Generator) -> Timeline:
    """The poses of a clip in which the signs follow one another, at `SUBSTEPS` moments a frame."""
    strokes = [_stroke(gloss, tempo, style, rng) for gloss in glosses]
    before, after = _ends(tempo.ready, rng), _ends(tempo.ready, rng)
    _fill_idle(strokes, before, tempo, rng)
    parts = [_between(before, strokes[0][0], _steps(tempo.lead, 2, tempo, rng), 0.0)]
    spans = []
    at = len(parts[0])
    for index, stroke in enumerate(strokes):
        spans.append((glosses[index], at // SUBSTEPS, -(-(at + len(stroke)) // SUBSTEPS)))
        following = strokes[index + 1][0] if index + 1 < len(strokes) else after
        pause = _steps(tempo.transition if index + 1 < len(strokes) else tempo.lead, 2, tempo, rng)
        way = _between(stroke[-1], following, pause, 0.06)
        parts += [stroke, way]
        at += len(stroke) + len(way)
    poses = np.concatenate(parts)
    poses = poses[: len(poses) // SUBSTEPS * SUBSTEPS]
    poses[:, :, :4] = _smooth(poses[:, :, :4], tempo.blend)
    poses[:, :, 4:] = _smooth(poses[:, :, 4:], 1.5 * tempo.blend)
    return Timeline(poses, spans)
