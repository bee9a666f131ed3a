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


@dataclass(frozen=True)
class TowerConfig:
    """Size of a retrieval model, and how it compares what its two towers say.

    Attributes
    ----------
    feature_dim
        Width of the sign features that the video tower reads.
    embed_dim
        Width of the tokens that both towers give.
    max_windows, context_length
        Most windows of a video and most tokens of a text.
    streams
        1 for features mixed by alpha; 2 for the paper's variant `cat`, both encoders' features interleaved.
    dropout
        Probability of dropping a value of a block's output in training; the paper has none.
    pooling
        "fine" compares signs with words (the paper); "mean" compares the mean token of a side, "class" the
        video's class token with the text's end token.
    window_stride
        Frames from one window to the next, of the windows that the model reads; 1 in the paper.
    design, weight, temperature, mask_padding
        How `retrieval_loss` and scoring are called; published checkpoints need `mask_padding=False`.
    """

    feature_dim: int = 1024
    embed_dim: int = 512
    video_width: int = 768
    video_layers: int = 12
    video_heads: int = 12
    max_windows: int = MAX_WINDOWS
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    vocab_size: int = 49408
    context_length: int = 32
    streams: int = 1
    dropout: float = 0.0
    pooling: Literal["fine", "mean", "class"] = "fine"
    window_stride: int = 1
    design: Literal["balance", "depart"] = "balance"
    weight: float = 0.5
    temperature: float = 0.07
    mask_padding: bool = True


TOWERS: dict[str, TowerConfig] = {
    "paper": TowerConfig(),
    "small": TowerConfig(
        feature_dim=512,
        embed_dim=256,
        video_width=256,
        video_layers=4,
        video_heads=4,
        text_width=256,
        text_layers=4,
        text_heads=4,
    ),
    "tiny": TowerConfig(
        feature_dim=256,
        embed_dim=128,
        video_width=128,
        video_layers=1,
        video_heads=4,
        text_width=128,
        text_layers=1,
        text_heads=4,
        vocab_size=2000,
    ),
}
