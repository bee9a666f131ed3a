"""Scenery: what stands behind a signer, drawn once a clip."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.cast import Colour, Scene

Image = NDArray[np.uint8]


def _mix(a: Colour, b: Colour, part: float) -> tuple[float, float, float]:
    r, g, b_ = ((1 - part) * x + part * y for x, y in zip(a, b, strict=True))
    return r, g, b_


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image:
    part = np.linspace(0, 1, height)[:, None, None]
    column = (1 - part) * np.array(top) + part * np.array(bottom)
    return np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)).astype(np.uint8))


def _stripes(image: Image, colour: tuple[float, float, float], step: int, slant: int) -> None:
    height, width = image.shape[:2]
    for x in range(-height, width + height, 2 * step):
        cv2.line(image, (x, 0), (x + slant, height), colour, step, cv2.LINE_AA)


def _shelves(image: Image, scene: Scene, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    wood = _mix(scene.colours[1], (90, 60, 40), 0.6)
    for shelf in range(3):
        y = round(height * (0.22 + 0.3 * shelf + rng.uniform(-0.03, 0.03)))
        x = 0
        while x < width:
            w, h = int(rng.integers(8, 24)), int(rng.integers(25, 60))
            if rng.random() < 0.8:
                tone = rng.integers(40, 220, 3)
                cv2.rectangle(image, (x, y - h), (x + w, y), tuple(int(c) for c in tone), -1)
            x += w + int(rng.integers(1, 8))
        cv2.rectangle(image, (0, y), (width, y + 6), wood, -1)


def _room(image: Image, scene: Scene, rng: np.random.Generator) -> None:
    """A wall with a window or pictures, a lamp and a plant."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height * 2 // 3))
        w, h = int(rng.integers(width // 8, width // 3)), int(rng.integers(height // 8, height // 3))
        frame = _mix(scene.colours[2], (250, 250, 245), rng.uniform(0.2, 0.8))
        cv2.rectangle(
            image, (x - 4, y - 4), (x + w + 4, y + h + 4), _mix(scene.colours[1], (30, 25, 20), 0.7), -1
        )
        cv2.rectangle(image, (x, y), (x + w, y + h), frame, -1)
        cv2.line(
            image, (x, y + h), (x + w, y + h // 3), _mix(scene.colours[0], (60, 120, 90), 0.6), 6, cv2.LINE_AA
        )
    x = int(rng.choice([width // 10, width * 9 // 10]))
    for _ in range(9):
        leaf = (x + int(rng.normal(0, width / 16)), round(height * 0.72) + int(rng.normal(0, height / 10)))
        green = _mix((60, 120, 70), scene.colours[2], rng.uniform(0, 0.4))
        cv2.ellipse(
            image,
            leaf,
            (round(width / 22), round(width / 60)),
            float(rng.uniform(0, 180)),
            0,
            360,
            green,
            -1,
            cv2.LINE_AA,
        )


def _blobs(image: Image, scene: Scene, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    for _ in range(26):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        colour = _mix(scene.colours[int(rng.integers(3))], (255, 255, 255), rng.uniform(0, 0.35))
        cv2.circle(image, centre, int(rng.integers(6, width // 9)), colour, -1, cv2.LINE_AA)


def background(scene: Scene, width: int, height: int, rng: np.random.Generator) -> Image:
    """The background of a clip, RGB uint8 [height, width, 3].

    The kinds are those of `cast.STUDIOS` and `cast.HOMES`.
    """
    top, bottom, accent = scene.colours
    image = _gradient(width, height, top, top if scene.kind == "plain" else bottom)
    if scene.kind == "spotlight":
        cv2.circle(
            image, (width // 2, height // 2), height // 2, _mix(top, (255, 255, 255), 0.3), -1, cv2.LINE_AA
        )
        image = cv2.blur(image, (41, 41))
    elif scene.kind == "shelves":
        _shelves(image, scene, rng)
    elif scene.kind == "room":
        _room(image, scene, rng)
    elif scene.kind == "street":
        _blobs(image, scene, rng)
        image = cv2.blur(image, (15, 15))
    elif scene.kind == "wallpaper":
        _stripes(image, _mix(accent, top, 0.5), int(rng.integers(6, 16)), int(rng.integers(-120, 120)))
        _stripes(image, _mix(accent, bottom, 0.7), int(rng.integers(4, 10)), int(rng.integers(-120, 120)))
    return np.ascontiguousarray(image, dtype=np.uint8)
