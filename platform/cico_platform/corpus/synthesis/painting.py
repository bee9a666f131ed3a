"""Painting: a signer in a flat, outlined style; everything is drawn at twice the size of the frame."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.anatomy import HandOutline, arm_joints, hand_outline
from cico_platform.corpus.synthesis.cast import Look, Scene

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Paint = tuple[float, float, float]

SUPERSAMPLING = 2
# The square that a signer signs in: its side, and how far its centre lies below the shoulders.
SPACE, SPACE_CENTRE = 3.3, 0.10
_SHIFT = 4
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


@dataclass(frozen=True)
class Camera:
    """From body units (right and downward from between the shoulders) to pixels of the large frame."""

    matrix: Array
    scale: float

    def __call__(self, points: Array) -> NDArray[np.int32]:
        """Fixed-point pixels of points [..., 2]."""
        pixels = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.round(pixels * (1 << _SHIFT)).astype(np.int32)

    def thick(self, units: float) -> int:
        """A line's thickness in whole pixels."""
        return max(1, round(units * self.scale))


def camera(scene: Scene) -> Camera:
    """The camera of a scene, for the supersampled frame."""
    width, height = (SUPERSAMPLING * side for side in scene.size)
    scale = min(width, height) * scene.zoom / SPACE
    turn = np.radians(scene.tilt)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array([width / 2, height / 2]) + scale * np.array(scene.offset)
    shift = centre - rotation @ np.array([0.0, SPACE_CENTRE])
    return Camera(np.column_stack([rotation, shift]), scale)


def shade(colour: tuple[int, int, int], factor: float) -> Paint:
    """A darker (below 1) or lighter (above 1) shade of an RGB colour."""
    r, g, b = (min(255.0, c * factor) if factor <= 1 else c + (255 - c) * (factor - 1) for c in colour)
    return r, g, b


def _poly(image: Image, points: NDArray[np.int32], fill: Paint, edge: Paint, width: int) -> None:
    cv2.polylines(image, [points], True, edge, width, cv2.LINE_AA, _SHIFT)
    cv2.fillPoly(image, [points], fill, cv2.LINE_AA, _SHIFT)


def _limb(image: Image, points: NDArray[np.int32], fill: Paint, edge: Paint, width: int, rim: int) -> None:
    cv2.polylines(image, [points], False, edge, width + 2 * rim, cv2.LINE_AA, _SHIFT)
    cv2.polylines(image, [points], False, fill, width, cv2.LINE_AA, _SHIFT)


def _oval(
    image: Image, see: Camera, at: tuple[float, float], radii: tuple[float, float], paint: Paint
) -> None:
    cv2.fillPoly(image, [see(_CIRCLE * radii + at)], paint, cv2.LINE_AA, _SHIFT)


def paint_body(image: Image, see: Camera, look: Look) -> None:
    """Paint torso, neck and clothes, in place: what stays still during a clip."""
    rim = see.thick(0.022)
    w, g = look.width, look.girth
    sides = [
        [0.20, -0.14], [0.52 * w, -0.06], [0.76 * w, 0.06], [0.82 * w, 0.30], [0.66 * w * g, 0.75],
        [0.60 * w * g, 1.5], [0.68 * w * g, 3.2],
    ]  # fmt: skip
    outline = np.array(sides + [[-x, y] for x, y in reversed(sides)])
    cloth, edge = shade(look.cloth, 1.0), shade(look.cloth, 0.55)
    _poly(image, see(outline), cloth, edge, 2 * rim)
    if look.pattern:
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [see(outline)], 255, cv2.LINE_8, _SHIFT)
        decor = image.copy()
        accent = shade(look.cloth, 1.35 if sum(look.cloth) < 380 else 0.75)
        for step in np.arange(-2.0, 4.0, 0.28):
            if look.pattern in (1, 3):
                cv2.polylines(
                    decor,
                    [see(np.array([[-2.0, step], [2.0, step]]))],
                    False,
                    accent,
                    see.thick(0.09),
                    cv2.LINE_AA,
                    _SHIFT,
                )
            if look.pattern in (2, 3):
                cv2.polylines(
                    decor,
                    [see(np.array([[step, -1.0], [step, 4.0]]))],
                    False,
                    accent,
                    see.thick(0.06),
                    cv2.LINE_AA,
                    _SHIFT,
                )
        image[mask > 0] = decor[mask > 0]
    skin, dark = shade(look.skin, 0.92), shade(look.skin, 0.6)
    _limb(image, see(np.array([[0.0, -0.42], [0.0, -0.10]])), skin, dark, see.thick(0.30), rim)
    collars = (
        [[-0.2, -0.13], [0.2, -0.13], [0.0, 0.26]],
        [[-0.24, -0.13], [0.24, -0.13], [0.12, 0.04], [-0.12, 0.04]],
    )
    if look.collar < 2:
        cv2.fillPoly(image, [see(np.array(collars[look.collar]))], skin, cv2.LINE_AA, _SHIFT)


_HEAD_AT = -0.86


def paint_head(image: Image, see: Camera, look: Look, move: Array) -> None:
    """Paint the head, in place; `move` is right, down, raised brows, open mouth."""
    x, y = float(move[0]), _HEAD_AT + float(move[1])
    rx, ry = 0.37 * look.head, 0.47 * look.head
    skin, dark, hair = shade(look.skin, 1.0), shade(look.skin, 0.6), shade(look.hair, 1.0)
    long = look.hair_style in (1, 3)
    if look.hair_style != 4:
        _oval(image, see, (x, y - 0.10 * ry), (rx * 1.17, ry * (1.2 if long else 1.10)), hair)
    if long:
        _poly(
            image,
            see(
                np.array(
                    [
                        [x - rx * 1.17, y - 0.1],
                        [x + rx * 1.17, y - 0.1],
                        [x + rx * 1.12, y + 0.58],
                        [x - rx * 1.12, y + 0.58],
                    ]
                )
            ),
            hair,
            hair,
            1,
        )
    if look.hair_style == 2:
        _oval(image, see, (x, y - 1.25 * ry), (0.19, 0.17), hair)
    for side in (-1, 1):
        _oval(image, see, (x + side * rx, y + 0.03), (0.075, 0.11), dark)
    _oval(image, see, (x, y), (rx + 0.022, ry + 0.022), dark)
    _oval(image, see, (x, y), (rx, ry), skin)
    if look.hair_style != 4:
        angle = np.linspace(np.pi, 2 * np.pi, 14)
        fringe = [[x + rx * 1.03 * np.cos(a), y - 0.10 + ry * 1.0 * np.sin(a)] for a in angle]
        low = [
            [x + 0.55 * rx, y - 0.40 * ry],
            [x + (0.1 - 0.5 * (look.hair_style % 2)) * rx, y - 0.62 * ry],
            [x - 0.6 * rx, y - 0.38 * ry],
        ]
        cv2.fillPoly(image, [see(np.array(fringe + low))], hair, cv2.LINE_AA, _SHIFT)
    _face(image, see, look, (x + 0.25 * float(move[0]), y, rx, ry), move)


def _face(image: Image, see: Camera, look: Look, at: tuple[float, float, float, float], move: Array) -> None:
    x, y, rx, ry = at
    ink = (34.0, 26.0, 26.0)
    for side in (-1, 1):
        eye = x + side * 0.40 * rx
        _oval(image, see, (eye, y - 0.03), (0.068, 0.052), (250.0, 248.0, 244.0))
        _oval(image, see, (eye, y - 0.03), (0.038, 0.046), ink)
        up = y - 0.135 - 0.06 * float(move[2])
        brow = np.array([[eye - 0.08, up + 0.022 * (side < 0)], [eye + 0.08, up + 0.022 * (side > 0)]])
        cv2.polylines(image, [see(brow)], False, shade(look.hair, 0.8), see.thick(0.042), cv2.LINE_AA, _SHIFT)
        _oval(image, see, (x + side * 0.55 * rx, y + 0.34 * ry), (0.06, 0.04), shade(look.skin, 0.93))
    nose = np.array([[x + 0.01, y + 0.02], [x + 0.035, y + 0.12], [x - 0.015, y + 0.13]])
    cv2.polylines(image, [see(nose)], False, shade(look.skin, 0.72), see.thick(0.03), cv2.LINE_AA, _SHIFT)
    if move[3] > 0.3:
        _oval(image, see, (x, y + 0.56 * ry), (0.085, 0.03 + 0.05 * float(move[3])), (120.0, 52.0, 54.0))
    else:
        smile = np.array(
            [
                [x - 0.10, y + 0.51 * ry],
                [x - 0.04, y + 0.58 * ry],
                [x + 0.04, y + 0.58 * ry],
                [x + 0.10, y + 0.51 * ry],
            ]
        )
        cv2.polylines(image, [see(smile)], False, (128.0, 58.0, 58.0), see.thick(0.036), cv2.LINE_AA, _SHIFT)


@dataclass(frozen=True)
class Arm:
    """Pixels of one arm and hand at all moments of a clip."""

    arm: NDArray[np.int32]
    palm: NDArray[np.int32]
    fingers: NDArray[np.int32]
    thumb: NDArray[np.int32]
    light: Array
    thumb_near: NDArray[np.bool_]


def place_arm(poses: Array, side: int, see: Camera, look: Look) -> Arm:
    """Pixels of the arm whose poses are [T, POSE_SIZE]; `side` is 1 for the viewer's right."""
    flip = np.array([side, 1.0])
    outline: HandOutline = hand_outline(poses, look.hand)
    joints = arm_joints(outline.wrist, look.arm, look.width)
    return Arm(
        see(joints * flip),
        see(outline.palm * flip),
        see(outline.fingers * flip),
        see(outline.thumb * flip),
        outline.light,
        outline.thumb_near,
    )


def paint_arm(image: Image, see: Camera, look: Look, arm: Arm, at: int) -> None:
    """Paint an arm and its hand at one moment, in place."""
    rim = see.thick(0.024)
    joints = arm.arm[at]
    cloth, hem = shade(look.cloth, 0.94), shade(look.cloth, 0.5)
    light = float(arm.light[at])
    skin, dark = (
        shade(look.skin, 1.0 + 0.14 * light if light > 0 else 1.0 + 0.12 * light),
        shade(look.skin, 0.5),
    )
    _limb(image, joints, shade(look.skin, 0.97), dark, see.thick(0.19), rim)
    if look.sleeve > 0.5:
        cuff = joints[1] + ((joints[2] - joints[1]) * (look.sleeve * 0.9)).astype(np.int32)
        sleeve = np.stack([joints[0], joints[1], cuff])
    else:
        sleeve = np.stack([joints[0], joints[0] + ((joints[1] - joints[0]) * 0.7).astype(np.int32)])
    _limb(image, sleeve, cloth, hem, see.thick(0.27), rim)
    _paint_hand(image, see, look, arm, at, skin, dark, rim)


def _paint_hand(
    image: Image, see: Camera, look: Look, arm: Arm, at: int, skin: Paint, dark: Paint, rim: int
) -> None:
    finger, thumb = see.thick(0.088 * look.hand), see.thick(0.10 * look.hand)
    fingers_near = arm.light[at] > -0.25
    if not arm.thumb_near[at]:
        _limb(image, arm.thumb[at], skin, dark, thumb, rim)
    if fingers_near:
        _poly(image, arm.palm[at], skin, dark, 2 * rim)
    for joints in arm.fingers[at]:
        _limb(image, joints, skin, dark, finger, rim)
    if not fingers_near:
        _poly(image, arm.palm[at], skin, dark, 2 * rim)
    if arm.thumb_near[at]:
        _limb(image, arm.thumb[at], skin, dark, thumb, rim)
