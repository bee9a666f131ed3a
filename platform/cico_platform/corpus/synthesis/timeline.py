"""Timelines: signs one after another, with the hands' ways between them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.lexicon import LEXICON
from cico_platform.corpus.synthesis.movement import POSE_SIZE, REST, Style, sign_poses

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
    """

    stroke: float
    transition: float
    spread: float
    lead: float
    blend: float
    linger: float


@dataclass(frozen=True)
class Timeline:
    """Poses [T * SUBSTEPS, 2, POSE_SIZE], and each sign's first and last frame (exclusive)."""

    poses: Array
    spans: list[tuple[str, int, int]]


def _ease(u: Array) -> Array:
    return u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)


def _fill_idle(strokes: list[Array], tempo: Tempo, rng: np.random.Generator) -> None:
    """Give a hand that a sign does not use a pose: where it was, sunk a little, or at rest."""
    last = REST.copy()
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
            stroke[:, 1] = previous if len(strokes) > 1 else REST
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


def build(glosses: tuple[str, ...], tempo: Tempo, style: Style, rng: np.random.Generator) -> Timeline:
    """The poses of a clip in which the signs follow one another, at `SUBSTEPS` moments a frame."""

    def length(mean: float, least: float) -> int:
        return max(
            round(mean * SUBSTEPS * float(np.clip(rng.normal(1, tempo.spread), 0.6, 1.6))),
            round(least * SUBSTEPS),
        )

    strokes = []
    for gloss in glosses:
        sign = LEXICON[gloss]
        long = 0.85 if sign.movement == "hold" and not sign.into else 1.0
        steps = length(tempo.stroke * long, 3)
        u = (np.arange(steps) + 0.5) / steps
        jitter = Style(
            reach=style.reach * float(np.clip(rng.normal(1, 0.08), 0.7, 1.3)),
            shift=(style.shift[0] + rng.normal(0, 0.05), style.shift[1] + rng.normal(0, 0.05)),
            turn=style.turn + rng.normal(0, 5),
            facing=style.facing + rng.normal(0, 6),
            lax=style.lax,
            drop=style.drop,
        )
        strokes.append(sign_poses(sign, u, jitter))
    _fill_idle(strokes, tempo, rng)
    rest = np.broadcast_to(REST, (2, POSE_SIZE))
    parts = [_between(rest, strokes[0][0], length(tempo.lead, 2), 0.0)]
    spans = []
    at = len(parts[0])
    for index, stroke in enumerate(strokes):
        spans.append((glosses[index], at // SUBSTEPS, -(-(at + len(stroke)) // SUBSTEPS)))
        following = strokes[index + 1][0] if index + 1 < len(strokes) else rest
        pause = length(tempo.transition if index + 1 < len(strokes) else tempo.lead, 2)
        way = _between(stroke[-1], following, pause, 0.06)
        parts += [stroke, way]
        at += len(stroke) + len(way)
    poses = np.concatenate(parts)
    poses = poses[: len(poses) // SUBSTEPS * SUBSTEPS]
    poses[:, :, :4] = _smooth(poses[:, :, :4], tempo.blend)
    poses[:, :, 4:] = _smooth(poses[:, :, 4:], 1.5 * tempo.blend)
    return Timeline(poses, spans)
