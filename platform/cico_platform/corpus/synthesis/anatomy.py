"""Anatomy: from poses to the outlines of hands and the joints of arms, for all moments of a clip at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A hand of scale 1 in body units: knuckles across the palm, and the lengths of the fingers.
_KNUCKLES = np.array([0.135, 0.046, -0.046, -0.135])
_FINGERS = np.array([0.40, 0.44, 0.41, 0.33])
_THUMB = (0.24, 0.20)
_PALM = np.array(
    [[0.10, -0.22], [0.19, -0.06], [0.185, 0.14], [0.10, 0.19],
     [-0.10, 0.18], [-0.185, 0.12], [-0.16, -0.08], [-0.10, -0.22]]
)  # fmt: skip
_WRIST = -0.20
_KNUCKLE_Y = 0.15
SHOULDER = (0.66, 0.06)
_UPPER, _FORE = 0.98, 0.92


@dataclass(frozen=True)
class HandOutline:
    """A hand at T moments, in outward and downward units.

    Attributes
    ----------
    palm
        Corners, [T, 8, 2].
    fingers
        Base, middle joint and tip of the index to the little finger, [T, 4, 3, 2].
    thumb
        The same of the thumb, [T, 3, 2].
    wrist
        [T, 2].
    light
        1 where the palm faces the viewer, -1 where its back does, [T].
    thumb_near
        Whether the thumb lies before the palm, [T].
    """

    palm: Array
    fingers: Array
    thumb: Array
    wrist: Array
    light: Array
    thumb_near: NDArray[np.bool_]


def hand_outline(pose: Array, scale: float) -> HandOutline:
    """Outline of a hand whose poses are [T, POSE_SIZE]; `scale` is the size of the hand."""
    steps = len(pose)
    psi = np.radians(pose[:, 3])
    cos, sin = np.cos(psi), np.sin(psi)

    def project(points: Array) -> Array:
        """[T, N, 3] across (to the thumb), along, towards the palm's side -> [T, N, 2]."""
        across = -(points[..., 0] * cos[:, None] + points[..., 2] * sin[:, None])
        return _place(np.stack([across, points[..., 1]], axis=-1) * scale, pose)

    bend_1, bend_2 = np.radians(pose[:, 7:11]), np.radians(pose[:, 11:15])
    fan = np.radians(pose[:, 15:16] * np.array([1.0, 0.33, -0.33, -1.0]))
    first = 0.53 * _FINGERS * np.ones((steps, 1))
    second = 0.47 * _FINGERS * np.ones((steps, 1))
    base = np.stack([_KNUCKLES + 0 * fan, np.full((steps, 4), _KNUCKLE_Y), 0 * fan], axis=-1)
    middle = base + _bone(first, bend_1, fan)
    tip = middle + _bone(second, bend_1 + bend_2, fan)
    joints = np.stack([base, middle, tip], axis=2).reshape(steps, 12, 3)

    palm = np.concatenate([np.broadcast_to(_PALM, (steps, 8, 2)), np.zeros((steps, 8, 1))], axis=-1)
    # Seen from its edge a palm is still as thick as a finger.
    palm[..., 2] = np.sign(palm[..., 0]) * 0.075
    return HandOutline(
        palm=project(palm),
        fingers=project(joints).reshape(steps, 4, 3, 2),
        thumb=project(_thumb_joints(pose)),
        wrist=_place(np.tile([[[0.0, _WRIST * scale]]], (steps, 1, 1)), pose)[:, 0],
        light=cos,
        thumb_near=(cos * 0.6 - sin) > 0,
    )


def _bone(length: Array, bend: Array, fan: Array) -> Array:
    along = length * np.cos(bend)
    return np.stack([along * np.sin(fan), along * np.cos(fan), length * np.sin(bend)], axis=-1)


def _thumb_joints(pose: Array) -> Array:
    steps = len(pose)
    first, second = np.radians(pose[:, 4]), np.radians(pose[:, 4] + pose[:, 5])
    opposed = pose[:, 6]
    base = np.tile([0.13, -0.08, 0.04], (steps, 1))
    middle = base + np.stack([_THUMB[0] * np.sin(first), _THUMB[0] * np.cos(first), 0.45 * opposed], axis=-1)
    tip = middle + np.stack([_THUMB[1] * np.sin(second), _THUMB[1] * np.cos(second), 0.55 * opposed], axis=-1)
    return np.stack([base, middle, tip], axis=1)


def _place(points: Array, pose: Array) -> Array:
    """Turn [T, N, 2] (across, along) by the hand's direction and move it to its place."""
    theta = np.radians(pose[:, 2])[:, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack(
        [
            x * np.cos(theta) - y * np.sin(theta) + pose[:, 0, None],
            -x * np.sin(theta) - y * np.cos(theta) + pose[:, 1, None],
        ],
        axis=-1,
    )


def arm_joints(wrist: Array, arm: float, width: float) -> Array:
    """Shoulder, elbow and wrist [T, 3, 2] of arms that reach the wrists [T, 2].

    The elbow follows from both lengths (inverse kinematics in the plane); an arm that reaches less far than
    it could points towards the viewer, so both of its parts look shorter.
    """
    shoulder = np.broadcast_to(np.array(SHOULDER) * (width, 1.0), wrist.shape)
    reach = wrist - shoulder
    distance = np.maximum(np.hypot(*reach.T), 1e-6)
    upper, fore = _UPPER * arm, _FORE * arm
    shrink = np.clip(0.35 + 0.65 * distance / (upper + fore), 0.62, None)
    shrink = np.maximum(shrink, distance / (0.995 * (upper + fore)))
    upper_now, fore_now = upper * shrink, fore * shrink
    along = (upper_now**2 - fore_now**2 + distance**2) / (2 * distance)
    height = np.sqrt(np.maximum(upper_now**2 - along**2, 0.0))
    direction = reach / distance[:, None]
    normal = np.stack([direction[:, 1], -direction[:, 0]], axis=1)
    # The elbow is on the outer, lower side; the choice turns over smoothly where the arm points up or down.
    lower = np.tanh(4.0 * (normal @ np.array([0.75, 0.66])))
    elbow = shoulder + along[:, None] * direction + (height * lower)[:, None] * normal
    return np.stack([shoulder, elbow, wrist], axis=1)
