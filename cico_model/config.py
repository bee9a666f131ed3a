"""Sizes of the models: the published ones, and smaller ones of the same make for laptops."""

from dataclasses import dataclass
from typing import Literal

Size = Literal["paper", "small", "tiny"]
WINDOW_FRAMES = 16
MAX_WINDOWS = 64


@dataclass(frozen=True)
class SignEncoderConfig:
    """Size of an I3D sign encoder.

    Attributes
    ----------
    size
        Name of the preset.
    width
        Multiplier of every layer's channels.
    frame_size
        Side of the square frames that the network takes, in pixels.
    """

    size: str = "paper"
    width: float = 1.0
    frame_size: int = 224

    def channels(self, published: int) -> int:
        """Channels of a layer that has `published` of them in the paper."""
        return max(1, round(published * self.width))

    @property
    def resize(self) -> int:
        """Side of the frames before the centre crop: 256 where the network takes 224."""
        return round(self.frame_size * 256 / 224)

    @property
    def feature_dim(self) -> int:
        """Width of a sign feature: 1024 in the paper."""
        return sum(self.channels(c) for c in (384, 384, 128, 128))


SIGN_ENCODERS: dict[str, SignEncoderConfig] = {
    "paper": SignEncoderConfig("paper", 1.0, 224),
    "small": SignEncoderConfig("small", 0.5, 112),
    "tiny": SignEncoderConfig("tiny", 0.25, 64),
}
