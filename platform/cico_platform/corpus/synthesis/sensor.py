"""The camera: lens and light, shake, and the sensor's noise."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.synthesis.cast import Scene

Image = NDArray[np.uint8]

# A lens mixes pixels that are no further apart than this.
LENS_REACH = 4
_GRAINS = 8


class Lens:
    """Blur, light and contrast of a scene."""

    def __init__(self, scene: Scene) -> None:
        self.blur = scene.blur
        values = np.arange(256, dtype=float)[:, None]
        lit = ((values - 128) * scene.contrast + 128) * scene.gain * np.array(scene.cast)
        self.table: Image = np.clip(lit, 0, 255).astype(np.uint8)[None]

    def __call__(self, image: Image) -> Image:
        """A picture as it is seen, or a part of one that has `LENS_REACH` more on each side."""
        if self.blur > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        seen: Image = cv2.LUT(image, self.table)
        return seen


class Sensor:
    """Shake and noise of one clip's frames."""

    def __init__(self, scene: Scene, frames: int, rng: np.random.Generator) -> None:
        self.size, self.rng = scene.size, rng
        self.shakes, self.noisy = scene.shake > 0, scene.noise > 0.5
        width, height = scene.size
        if not (self.shakes or self.noisy):
            return
        grain = rng.normal(0, scene.noise, (_GRAINS, height, width)).astype(np.int16)
        drift = np.cumsum(rng.normal(0, 0.5 * scene.shake, (frames, 2)), axis=0)
        self.drift = drift - np.linspace(0, 1, frames)[:, None] * drift[-1]
        # Adding and subtracting bytes that saturate is several times faster than adding wider numbers.
        self.brighter = [_grey(np.maximum(g, 0)) for g in grain] if self.noisy else []
        self.darker = [_grey(np.maximum(-g, 0)) for g in grain] if self.noisy else []

    def shaken(self, image: Image, index: int) -> Image:
        """The picture as a camera sees it that is held by hand."""
        right, down = self.drift[index]
        move = np.array([[1, 0, right], [0, 1, down]])
        moved: Image = cv2.warpAffine(image, move, self.size, borderMode=cv2.BORDER_REPLICATE)
        return moved

    def add_noise(self, image: Image) -> None:
        """Add one of a few patterns of noise, in place."""
        if self.noisy:
            chosen = int(self.rng.integers(_GRAINS))
            cv2.add(image, self.brighter[chosen], dst=image)
            cv2.subtract(image, self.darker[chosen], dst=image)


def _grey(values: NDArray[np.int16]) -> Image:
    grey: Image = cv2.cvtColor(np.minimum(values, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return grey
