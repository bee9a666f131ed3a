"""A sign video that people search with, as tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.isolation import decode_framed
from cico_platform.corpus.limits import ClipError, DecodeLimits
from cico_platform.encoding.clip_encoder import ClipEncoder
from cico_platform.encoding.windows import window_spans
from cico_platform.errors import InputError

# What one query video may cost: less than a corpus' clip, for a person waits and others queue behind.
QUERY_LIMITS = DecodeLimits(frames=3000, seconds=30.0, bytes=1 << 29)


class VideoQuery(NamedTuple):
    """A video's tokens, float32 [T, D], the part of it that is signed and each window's, in seconds."""

    tokens: NDArray[np.float32]
    start: float
    end: float
    windows: Sequence[tuple[float, float]] = ()


def encode_video(
    path: str | Path,
    encoder: ClipEncoder,
    limits: DecodeLimits = QUERY_LIMITS,
    *,
    start: float | None = None,
    end: float | None = None,
) -> VideoQuery:
    """A video file to a query: the tokens that it has in the collection, had it been read into the corpus.

    Of a part, `start` to `end` in seconds, nothing else is decoded or counts for the limits.

    Raises
    ------
    InputError
        If the file can't be decoded within the limits; the message is the reason.
    """
    try:
        clip = decode_framed(path, encoder.encoding.framing, encoder.frame_size, limits, start=start, end=end)
    except ClipError as error:
        raise InputError(f"the video can't be searched with: {error}") from error
    starts, features = encoder.clip_features(clip.frames)
    (tokens,) = encoder.tokens([features])
    boundaries = clip.boundaries()
    windows = window_spans(starts, boundaries.tolist())
    return VideoQuery(tokens.astype(np.float32), float(boundaries[0]), float(boundaries[-1]), windows)
