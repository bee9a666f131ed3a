"""Painting: what of a signer stays still in a clip; everything is drawn at twice the frame's size."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.cast import Look, Scene

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Paint = tuple[float, float, float]

SUPERSAMPLING = 2
# The square that a signer signs in: its side, and how far its centre lies below the shoulders.
SPACE, SPACE_CENTRE = 3.3, 0.10
# Coordinates have so many bits after the point.
SHIFT = 4
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


@dataclass(frozen=True)
class Camera:
    """From body units (right and downward from between the shoulders) to pixels of the large frame."""

    matrix: Array
    scale: float

    def __call__(self, points: Array) -> NDArray[np.int32]:
        """Fixed-point pixels of points [..., 2]."""
        pixels = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.round(pixels * (1 << SHIFT)).astype(np.int32)

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


def paint_polygon(image: Image, points: NDArray[np.int32], fill: Paint, edge: Paint, width: int) -> None:
    """Paint a polygon with an outline, in place."""
    cv2.polylines(image, [points], True, edge, width, cv2.LINE_AA, SHIFT)
    cv2.fillPoly(image, [points], fill, cv2.LINE_AA, SHIFT)


def paint_limb(
    image: Image, points: NDArray[np.int32], fill: Paint, edge: Paint, width: int, rim: int
) -> None:
    """Paint a thick line with rims, in place."""
    cv2.polylines(image, [points], False, edge, width + 2 * rim, cv2.LINE_AA, SHIFT)
    cv2.polylines(image, [points], False, fill, width, cv2.LINE_AA, SHIFT)


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
    paint_polygon(image, see(outline), cloth, edge, 2 * rim)
    if look.pattern:
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [see(outline)], 255, cv2.LINE_8, SHIFT)
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
                    SHIFT,
                )
            if look.pattern in (2, 3):
                cv2.polylines(
                    decor,
                    [see(np.array([[step, -1.0], [step, 4.0]]))],
                    False,
                    accent,
                    see.thick(0.06),
                    cv2.LINE_AA,
                    SHIFT,
                )
        image[mask > 0] = decor[mask > 0]
    skin, dark = shade(look.skin, 0.92), shade(look.skin, 0.6)
    paint_limb(image, see(np.array([[0.0, -0.42], [0.0, -0.10]])), skin, dark, see.thick(0.30), rim)
    collars = (
        [[-0.2, -0.13], [0.2, -0.13], [0.0, 0.26]],
        [[-0.24, -0.13], [0.24, -0.13], [0.12, 0.04], [-0.12, 0.04]],
    )
    if look.collar < 2:
        cv2.fillPoly(image, [see(np.array(collars[look.collar]))], skin, cv2.LINE_AA, SHIFT)
