"""Handshapes: how far each joint of a drawn hand is bent, and where its thumb goes."""

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

# Thumb (abduction, bend, opposition), knuckle bend x 4, middle-joint bend x 4, spread; index first, degrees.
HANDSHAPE_SIZE = 12

_OPEN = (0.0, 0.0)
_SHUT = (88.0, 100.0)


def _shape(
    thumb: tuple[float, float, float],
    index: tuple[float, float],
    middle: tuple[float, float],
    ring: tuple[float, float],
    little: tuple[float, float],
    spread: float = 2.0,
) -> NDArray[np.float64]:
    fingers = (index, middle, ring, little)
    return np.array([*thumb, *(f[0] for f in fingers), *(f[1] for f in fingers), spread])


_OUT, _SIDE, _ACROSS, _ALONG = (75.0, 0.0, 0.0), (40.0, -10.0, 0.0), (-25.0, -55.0, 0.05), (18.0, 0.0, 0.0)
_OPPOSED = (38.0, -30.0, 0.34)

HANDSHAPES = MappingProxyType(
    {
        "fist": _shape(_ACROSS, _SHUT, _SHUT, _SHUT, _SHUT),
        "flat": _shape(_ALONG, _OPEN, _OPEN, _OPEN, _OPEN, 1.0),
        "five": _shape(_OUT, _OPEN, _OPEN, _OPEN, _OPEN, 17.0),
        "four": _shape(_ACROSS, _OPEN, _OPEN, _OPEN, _OPEN, 14.0),
        "point": _shape(_ACROSS, _OPEN, _SHUT, _SHUT, _SHUT),
        "vee": _shape(_ACROSS, _OPEN, _OPEN, _SHUT, _SHUT, 24.0),
        "three": _shape(_OUT, _OPEN, _OPEN, _SHUT, _SHUT, 20.0),
        "thumb": _shape((20.0, 0.0, 0.0), _SHUT, _SHUT, _SHUT, _SHUT),
        "ell": _shape((88.0, 0.0, 0.0), _OPEN, _SHUT, _SHUT, _SHUT),
        "horns": _shape(_ACROSS, _OPEN, _SHUT, _SHUT, _OPEN, 8.0),
        "wye": _shape((80.0, 0.0, 0.0), _SHUT, _SHUT, _SHUT, _OPEN, 18.0),
        "little": _shape(_ACROSS, _SHUT, _SHUT, _SHUT, _OPEN, 4.0),
        "cee": _shape(_OPPOSED, (35.0, 50.0), (35.0, 50.0), (35.0, 50.0), (35.0, 50.0), 3.0),
        "claw": _shape(_OUT, (12.0, 78.0), (12.0, 78.0), (12.0, 78.0), (12.0, 78.0), 16.0),
        "ring": _shape(_OPPOSED, (62.0, 55.0), (5.0, 0.0), (0.0, 0.0), (0.0, 0.0), 15.0),
        "bunch": _shape((25.0, -15.0, 0.4), (58.0, 20.0), (58.0, 20.0), (58.0, 20.0), (58.0, 20.0), -5.0),
        "hook": _shape(_ACROSS, (15.0, 85.0), _SHUT, _SHUT, _SHUT),
        "lax": _shape(_SIDE, (25.0, 25.0), (28.0, 28.0), (30.0, 30.0), (32.0, 32.0), 5.0),
    }
)
