"""Figures: what of a signer moves; the points of all moments are computed at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.anatomy import HandOutline, arm_joints, hand_outline
from cico_platform.corpus.synthesis.cast import Look
from cico_platform.corpus.synthesis.painting import (
    CIRCLE,
    SHIFT,
    Camera,
    Image,
    Paint,
    paint_limb,
    paint_polygon,
    shade,
)

Array = NDArray[np.float64]
Points = NDArray[np.int32]
Flags = NDArray[np.bool_]
Boxes = NDArray[np.int64]

_HEAD_AT = -0.86
_INK = (34.0, 26.0, 26.0)


@dataclass(frozen=True)
class Shape:
    """Polygons or lines of one colour that do not overlap, at T moments.

    Attributes
    ----------
    points
        Fixed-point pixels, [T, shapes, corners, 2].
    paint
        RGB.
    line
        Thickness of the lines; 0 fills polygons.
    when
        At which moments there is something to see, [T]; always where None.
    """

    points: Points
    paint: Paint
    line: int = 0
    when: Flags | None = None

    def draw(self, image: Image, at: int) -> None:
        """Paint one moment, in place."""
        if self.when is not None and not self.when[at]:
            return
        points: Sequence[Points] = list(self.points[at])
        if self.line:
            cv2.polylines(image, points, False, self.paint, self.line, cv2.LINE_AA, SHIFT)
        else:
            cv2.fillPoly(image, points, self.paint, cv2.LINE_AA, SHIFT)


def _box(parts: Sequence[tuple[Points, int]]) -> Boxes:
    """Pixels [T, 4] (left, top, right, bottom; exclusive) that lines through points, so thick, can touch."""
    low, high = [], []
    for points, line in parts:
        # Reduced along the first axis, which NumPy does fast.
        corners = np.ascontiguousarray(points.reshape(len(points), -1, 2).swapaxes(0, 1))
        reach = (line + 1) // 2 + 2
        low.append((corners.min(axis=0) >> SHIFT) - reach)
        high.append((corners.max(axis=0) >> SHIFT) + reach + 1)
    return np.concatenate([np.min(low, axis=0), np.max(high, axis=0)], axis=1).astype(np.int64)


@dataclass(frozen=True)
class Head:
    """A head at all moments of a clip, from its hindmost to its foremost part; `box` is as in `Arm`."""

    shapes: list[Shape]
    box: Boxes

    @classmethod
    def of(cls, see: Camera, look: Look, moves: Array) -> Self:
        """Lay out the head whose moves are [T, 4]: right, down, raised brows, open mouth."""
        skull = _skull(see, look, moves[:, :2] + (0.0, _HEAD_AT))
        shapes = skull + _face(see, look, moves)
        return cls(shapes, _box([(shape.points, shape.line) for shape in shapes]))

    def draw(self, image: Image, at: int) -> None:
        """Paint one moment, in place."""
        for shape in self.shapes:
            shape.draw(image, at)


def _ovals(
    see: Camera, centre: Array, at: Sequence[tuple[float, float]], radii: tuple[float, float], paint: Paint
) -> Shape:
    """Equal ovals around points `at` relative to the centre [T, 2]."""
    rings = CIRCLE * radii + np.array(at)[:, None]
    return Shape(see(centre[:, None, None] + rings), paint)


def _skull(see: Camera, look: Look, centre: Array) -> list[Shape]:
    rx, ry = 0.37 * look.head, 0.47 * look.head
    skin, dark, hair = shade(look.skin, 1.0), shade(look.skin, 0.6), shade(look.hair, 1.0)
    long, bald = look.hair_style in (1, 3), look.hair_style == 4
    shapes = []
    if not bald:
        radii = (rx * 1.17, ry * (1.2 if long else 1.10))
        shapes.append(_ovals(see, centre, [(0.0, -0.10 * ry)], radii, hair))
    if long:
        wide, low = rx * 1.17, rx * 1.12
        fall = np.array([[[-wide, -0.1], [wide, -0.1], [low, 0.58], [-low, 0.58]]])
        corners = see(centre[:, None, None] + fall)
        shapes += [Shape(corners.take([3, 0, 1, 2, 3], axis=2), hair, 1), Shape(corners, hair)]
    if look.hair_style == 2:
        shapes.append(_ovals(see, centre, [(0.0, -1.25 * ry)], (0.19, 0.17), hair))
    shapes += [
        _ovals(see, centre, [(-rx, 0.03), (rx, 0.03)], (0.075, 0.11), dark),
        _ovals(see, centre, [(0.0, 0.0)], (rx + 0.022, ry + 0.022), dark),
        _ovals(see, centre, [(0.0, 0.0)], (rx, ry), skin),
    ]
    if not bald:
        angle = np.linspace(np.pi, 2 * np.pi, 14)
        fringe = np.column_stack([rx * 1.03 * np.cos(angle), -0.10 + ry * np.sin(angle)])
        parting = (0.1 - 0.5 * (look.hair_style % 2)) * rx
        low_edge = np.array([[0.55 * rx, -0.40 * ry], [parting, -0.62 * ry], [-0.6 * rx, -0.38 * ry]])
        shapes.append(Shape(see(centre[:, None, None] + np.concatenate([fringe, low_edge])[None]), hair))
    return shapes


def _face(see: Camera, look: Look, moves: Array) -> list[Shape]:
    """Eyes, brows, cheeks, nose and mouth; the face turns a little further than the head moves."""
    rx, ry = 0.37 * look.head, 0.47 * look.head
    centre = moves[:, :2] * (1.25, 1.0) + (0.0, _HEAD_AT)
    eye = 0.40 * rx
    eyes = [(-eye, -0.03), (eye, -0.03)]
    brow = np.array([[[-eye - 0.08, 0.022], [-eye + 0.08, 0.0]], [[eye - 0.08, 0.0], [eye + 0.08, 0.022]]])
    raised = np.stack([0 * moves[:, 2], -0.135 - 0.06 * moves[:, 2]], axis=1)
    cheeks = [(-0.55 * rx, 0.34 * ry), (0.55 * rx, 0.34 * ry)]
    nose = np.array([[[0.01, 0.02], [0.035, 0.12], [-0.015, 0.13]]])
    open_mouth = moves[:, 3] > 0.3
    radii = np.stack([np.full(len(moves), 0.085), 0.03 + 0.05 * moves[:, 3]], axis=1)
    lips = (CIRCLE * radii[:, None] + centre[:, None] + np.array([0.0, 0.56 * ry]))[:, None]
    low, high = 0.58 * ry, 0.51 * ry
    smile = np.array([[[-0.10, high], [-0.04, low], [0.04, low], [0.10, high]]])
    here = centre[:, None, None]
    return [
        _ovals(see, centre, eyes, (0.068, 0.052), (250.0, 248.0, 244.0)),
        _ovals(see, centre, eyes, (0.038, 0.046), _INK),
        Shape(see(here + raised[:, None, None] + brow), shade(look.hair, 0.8), see.thick(0.042)),
        _ovals(see, centre, cheeks, (0.06, 0.04), shade(look.skin, 0.93)),
        Shape(see(here + nose), shade(look.skin, 0.72), see.thick(0.03)),
        Shape(see(lips), (120.0, 52.0, 54.0), when=open_mouth),
        Shape(see(here + smile), (128.0, 58.0, 58.0), see.thick(0.036), ~open_mouth),
    ]


def _sleeve(arm: Points, part: float) -> Points:
    """The covered part of arms [T, 3, 2]: to behind the elbow, or no further than the upper arm."""
    shoulder, elbow, wrist = arm[:, 0], arm[:, 1], arm[:, 2]
    if part > 0.5:
        cuff = elbow + ((wrist - elbow) * (part * 0.9)).astype(np.int32)
        return np.stack([shoulder, elbow, cuff], axis=1)
    return np.stack([shoulder, shoulder + ((elbow - shoulder) * 0.7).astype(np.int32)], axis=1)


@dataclass(frozen=True)
class _Brushes:
    """Colours, and thicknesses in pixels, of an arm; a rim is added on both sides."""

    bare: Paint
    dark: Paint
    cloth: Paint
    hem: Paint
    rim: int
    arm: int
    sleeve: int
    finger: int
    thumb: int

    @classmethod
    def of(cls, see: Camera, look: Look) -> Self:
        paints = (
            shade(look.skin, 0.97),
            shade(look.skin, 0.5),
            shade(look.cloth, 0.94),
            shade(look.cloth, 0.5),
        )
        units = (0.024, 0.19, 0.27, 0.088 * look.hand, 0.10 * look.hand)
        return cls(*paints, *(see.thick(size) for size in units))


@dataclass(frozen=True)
class Arm:
    """Pixels of one arm and hand at all moments of a clip.

    Attributes
    ----------
    brushes
        Colours and thicknesses.
    arm, sleeve, palm, fingers, thumb
        Fixed-point pixels, [T, ...corners, 2].
    skin
        Colour of the hand, lighter where the palm faces the viewer, T of them.
    thumb_near, fingers_near
        Whether they lie before the palm, [T].
    box
        Pixels that the arm can touch, [T, 4]: left, top, right, bottom (exclusive).
    """

    brushes: _Brushes
    arm: Points
    sleeve: Points
    palm: Points
    fingers: Points
    thumb: Points
    skin: list[Paint]
    thumb_near: Flags
    fingers_near: Flags
    box: Boxes

    @classmethod
    def of(cls, poses: Array, side: int, see: Camera, look: Look) -> Self:
        """Lay out the arm whose poses are [T, POSE_SIZE]; `side` is 1 for the viewer's right."""
        flip = np.array([side, 1.0])
        outline: HandOutline = hand_outline(poses, look.hand)
        arm = see(arm_joints(outline.wrist, look.arm, look.width) * flip)
        palm, fingers, thumb = (see(p * flip) for p in (outline.palm, outline.fingers, outline.thumb))
        brushes = _Brushes.of(see, look)
        wide, narrow = brushes.sleeve + 2 * brushes.rim, brushes.thumb + 2 * brushes.rim
        light = outline.light
        skin = [shade(look.skin, 1.0 + (0.14 if value > 0 else 0.12) * value) for value in light.tolist()]
        return cls(
            brushes,
            arm,
            _sleeve(arm, look.sleeve),
            palm,
            fingers,
            thumb,
            skin,
            outline.thumb_near,
            light > -0.25,
            _box([(arm, wide), *((part, narrow) for part in (palm, fingers, thumb))]),
        )

    def is_same(self, at: int, other: int) -> bool:
        """Whether two moments look exactly alike."""
        parts = (self.arm, self.fingers, self.palm, self.thumb)
        same_skin = self.skin[at] == self.skin[other]
        return same_skin and all(np.array_equal(part[at], part[other]) for part in parts)

    def draw(self, image: Image, at: int) -> None:
        """Paint one moment, in place."""
        brushes = self.brushes
        paint_limb(image, self.arm[at], brushes.bare, brushes.dark, brushes.arm, brushes.rim)
        paint_limb(image, self.sleeve[at], brushes.cloth, brushes.hem, brushes.sleeve, brushes.rim)
        skin, dark, rim = self.skin[at], brushes.dark, brushes.rim
        if not self.thumb_near[at]:
            paint_limb(image, self.thumb[at], skin, dark, brushes.thumb, rim)
        if self.fingers_near[at]:
            paint_polygon(image, self.palm[at], skin, dark, 2 * rim)
        for joints in self.fingers[at]:
            paint_limb(image, joints, skin, dark, brushes.finger, rim)
        if not self.fingers_near[at]:
            paint_polygon(image, self.palm[at], skin, dark, 2 * rim)
        if self.thumb_near[at]:
            paint_limb(image, self.thumb[at], skin, dark, brushes.thumb, rim)
