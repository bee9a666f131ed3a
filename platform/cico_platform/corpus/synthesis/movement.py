"""Movement: where a signing hand is, and how it is held, at each moment of one sign."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.handshapes import HANDSHAPE_SIZE, HANDSHAPES
from cico_platform.corpus.synthesis.lexicon import DIRECTIONS, FACINGS, PLACES, Sign

Array = NDArray[np.float64]

# A hand's pose: outward, downward (shoulder widths), direction, facing (degrees), then its handshape.
POSE_SIZE = 4 + HANDSHAPE_SIZE
REST = np.concatenate([[0.62, 2.25, 165.0, 150.0], HANDSHAPES["lax"]])
_BASE_AT = (-0.02, 0.98)


@dataclass(frozen=True)
class Style:
    """How one signer signs.

    Attributes
    ----------
    reach
        Size of the movements, 1 as in the lexicon.
    shift
        Added to every place, [2], shoulder widths.
    turn, facing
        Added to every direction and facing, degrees.
    lax
        How far the hand falls short of its handshape, 0 to 1.
    drop
        How far high places sink towards the chest, 0 to 1.
    """

    reach: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    facing: float = 0.0
    lax: float = 0.0
    drop: float = 0.0


def _ease(u: Array) -> Array:
    return u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)


def _line(u: Array, dx: float, dy: float) -> Array:
    """A straight way centred on the place: [T, 4] of outward, downward, direction, facing."""
    s = _ease(u) - 0.5
    return np.stack([dx * s, dy * s, 0 * u, 0 * u], axis=1)


def _swing(u: Array, column: int, size: float, times: float) -> Array:
    way = np.zeros((len(u), 4))
    way[:, column] = size * np.sin(2 * np.pi * times * u)
    return way


def _tap(u: Array) -> Array:
    away = 0.30 * np.abs(np.cos(2 * np.pi * u))
    return np.stack([away, 0.35 * away, 0 * u, 0 * u], axis=1)


def _arc(u: Array) -> Array:
    s = _ease(u)
    return np.stack([0.95 * (s - 0.5), 0.12 - 0.5 * np.sin(np.pi * s), 0 * u, 0 * u], axis=1)


def _circle(u: Array) -> Array:
    angle = 2 * np.pi * _ease(u)
    return np.stack([0.30 * np.sin(angle), -0.30 * np.cos(angle), 0 * u, 0 * u], axis=1)


def _zigzag(u: Array) -> Array:
    return np.stack([0.30 * np.sin(4 * np.pi * u), 0.9 * (u - 0.5), 0 * u, 0 * u], axis=1)


def _turn(u: Array) -> Array:
    s = _ease(u)
    return np.stack([0.25 * (s - 0.5), 0 * u, 0 * u, 170.0 * s], axis=1)


def _dip(u: Array) -> Array:
    s = np.sin(np.pi * u)
    return np.stack([0 * u, 0.30 * s, 75.0 * s, 0 * u], axis=1)


def way(movement: str, u: Array) -> Array:
    """The way of a movement at the moments `u` [T], 0 to 1: [T, 4] added to place, direction, facing."""
    lines = {
        "up": (0.0, -0.95), "down": (0.0, 0.95), "in": (-0.8, 0.0), "out": (0.8, 0.0),
        "rise": (0.7, -0.75), "fall": (0.65, 0.75),
    }  # fmt: skip
    if movement in lines:
        return _line(u, *lines[movement])
    swings = {"shake": (0, 0.32, 2.0), "nod": (1, 0.26, 2.0), "twist": (3, 75.0, 1.5), "wag": (2, 38.0, 1.5)}
    if movement in swings:
        return _swing(u, *swings[movement])
    ways = {"tap": _tap, "arc": _arc, "circle": _circle, "zigzag": _zigzag, "turn": _turn, "dip": _dip}
    return ways[movement](u) if movement in ways else np.zeros((len(u), 4))


def _hand(sign: Sign, u: Array, style: Style, phase: float = 0.0) -> Array:
    x, y = PLACES[sign.place]
    y += style.drop * max(0.0, 0.5 - y) * 0.5
    moved = way(sign.movement, (u + phase) % 1.0 if phase else u)
    pose = np.empty((len(u), POSE_SIZE))
    pose[:, 0] = x + style.shift[0] + style.reach * moved[:, 0]
    pose[:, 1] = y + style.shift[1] + style.reach * moved[:, 1]
    pose[:, 2] = DIRECTIONS[sign.fingers] + style.turn + style.reach * moved[:, 2]
    pose[:, 3] = FACINGS[sign.faces] + style.facing + style.reach * moved[:, 3]
    opening = _ease(np.clip((u - 0.15) / 0.7, 0.0, 1.0))[:, None]
    first, last = HANDSHAPES[sign.hand], HANDSHAPES[sign.into or sign.hand]
    shape = (1 - opening) * first + opening * last
    pose[:, 4:] = shape + style.lax * (HANDSHAPES["lax"] - shape)
    if sign.movement == "wiggle":
        beat = 2 * np.pi * (2.0 * u[:, None] + np.arange(4) / 4.0)
        pose[:, 7:11] += 32.0 * (1 + np.sin(beat)) / 2
    return pose


def sign_poses(sign: Sign, u: Array, style: Style) -> Array:
    """Poses of both hands of one sign.

    Parameters
    ----------
    sign
        From the lexicon.
    u
        Moments, float [T], 0 at the sign's start and 1 at its end.
    style
        The signer's.

    Returns
    -------
    Poses, float [T, 2, POSE_SIZE], the leading hand first, each in its own side's coordinates. A hand that
    has no part in the sign is NaN.
    """
    poses = np.full((len(u), 2, POSE_SIZE), np.nan)
    poses[:, 0] = _hand(sign, u, style)
    if sign.hands == "both":
        poses[:, 1] = poses[:, 0]
    elif sign.hands == "turns":
        poses[:, 1] = _hand(sign, u, style, phase=0.5)
    elif sign.hands == "base":
        poses[:, 1, :2] = np.array(_BASE_AT) + style.shift
        poses[:, 1, 2] = DIRECTIONS["in"] - 12.0 + style.turn
        poses[:, 1, 3] = 150.0 if sign.base in ("flat", "five") else 180.0
        poses[:, 1, 4:] = HANDSHAPES[sign.base]
    return poses
