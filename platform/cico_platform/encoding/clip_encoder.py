"""Frames to tokens in one process, for queries and moment retrieval: every step as the pipelines take it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cico_model.config import MAX_WINDOWS
from cico_model.inference import Precision
from cico_model.model import RetrievalModel
from cico_platform.corpus.framing import FramingSettings
from cico_platform.encoding.mixing import Features, mix_features, shares_of, stored_features
from cico_platform.encoding.sign_encoders import Frames, SignEncoders, load_encoders
from cico_platform.encoding.video_tokens import embed_features
from cico_platform.encoding.windows import encoded_windows, read_windows
from cico_platform.storage import Place


@dataclass(frozen=True)
class VideoEncoding:
    """How the videos of a collection became features, so that those of a query become them alike.

    Attributes
    ----------
    stride, windows
        As in `encoded_windows`.
    precision
        Of the sign encoders; "int8" stands for "auto" here, for it is calibrated on a corpus.
    framing
        How the signing part of a video is found.
    """

    stride: int = 1
    windows: int = MAX_WINDOWS
    precision: Precision = "auto"
    framing: FramingSettings = field(default_factory=lambda: FramingSettings("cut"))


@dataclass(frozen=True)
class ClipEncoder:
    """The models of a collection, and how its videos were encoded.

    Attributes
    ----------
    alpha
        The first sign encoder's share, where there are two.
    """

    encoders: SignEncoders
    model: RetrievalModel
    alpha: float
    encoding: VideoEncoding

    @property
    def frame_size(self) -> int:
        """Side of the square frames that the sign encoders take, before their centre crop."""
        return self.encoders.config.resize

    def features(self, frames: Frames, starts: Sequence[int]) -> Features:
        """Mixed sign features of windows of one video, float16 [len(starts), F]."""
        (outputs,) = self.encoders.encode([frames], [starts])
        stored = [stored_features(output) for output in outputs]
        return mix_features(stored, shares_of(len(stored), self.alpha))

    def clip_features(self, frames: Frames) -> tuple[list[int], Features]:
        """First frames of the windows that the model reads of a clip, and their mixed features."""
        starts = encoded_windows(len(frames), self.encoding.stride, self.encoding.windows)
        # Every window that a corpus gets is computed: the encoders' rounding depends on which lie together.
        features = self.features(frames, starts)
        read = read_windows(starts, self.model.config.window_stride)
        return [starts[i] for i in read], features[read]

    def tokens(self, features: Sequence[Features]) -> list[NDArray[np.float16]]:
        """Tokens of videos, float16 [W, D] each, from features of the windows that the model reads."""
        return embed_features(self.model, features)


def load_clip_encoder(
    folders: Sequence[str | Place],
    model: RetrievalModel,
    alpha: float,
    encoding: VideoEncoding,
    threads: int | None = None,
) -> ClipEncoder:
    """Load the sign encoders of a collection beside its retrieval model.

    Raises
    ------
    InputError
        If a folder holds no sign encoder, or they take frames of different sizes.
    """
    precision: Precision = "auto" if encoding.precision == "int8" else encoding.precision
    return ClipEncoder(load_encoders(folders, precision, threads=threads), model, alpha, encoding)
