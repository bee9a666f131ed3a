"""What people ask with, as tokens: a typed sentence, or a sign video."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_model.alignment import window_times
from cico_model.checkpoint import load_sign_encoder
from cico_model.clips import select_windows, window_starts
from cico_model.config import TowerConfig
from cico_model.inference import InferenceEncoder, optimize_for_inference
from cico_model.model import RetrievalModel
from cico_model.text_cleaning import clean_text
from cico_model.words import has_word
from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError, DecodeLimits
from cico_platform.corpus.signer_box import SEARCH_SIDE, find_signer
from cico_platform.errors import InputError
from cico_platform.index.clips import MAX_TEXT
from cico_platform.index.serving_info import ServingInfo
from cico_platform.storage import on_this_machine

# What one query video may cost: less than a corpus' clip, for a person waits and others queue behind.
QUERY_LIMITS = DecodeLimits(frames=3000, seconds=30.0, bytes=1 << 29)


class TextQuery(NamedTuple):
    """A text's valid tokens, float32 [L, D], and its words with the positions of their tokens."""

    tokens: NDArray[np.float32]
    words: list[tuple[str, list[int]]]


class VideoQuery(NamedTuple):
    """A video's tokens, float32 [T, D], the part of it that is signed and each window's, in seconds."""

    tokens: NDArray[np.float32]
    start: float
    end: float
    windows: Sequence[tuple[float, float]] = ()


def check_text(text: str) -> str:
    """A query's text, clean.

    Raises
    ------
    InputError
        If no letter and no digit is left of it, or it is longer than a sentence can be.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"the text has {len(text)} characters; at most {MAX_TEXT} are searched for")
    text = clean_text(text)
    if not has_word(text):
        raise InputError("the text is empty; type the sentence to look for")
    return text


@torch.inference_mode()
def encode_texts(model: RetrievalModel, texts: Sequence[str]) -> list[TextQuery]:
    """Texts to queries, in one batch."""
    encoded = model.encode_text(list(texts))
    tokens, valid = encoded.tokens.float().cpu(), encoded.valid.cpu()
    return [
        TextQuery(tokens[i][valid[i]].numpy(), [(word.text, list(word.positions)) for word in words])
        for i, words in enumerate(encoded.words)
    ]


def load_encoders(info: ServingInfo, threads: int | None = None) -> list[InferenceEncoder]:
    """The sign encoders of a collection, ready to run."""
    loaded = [load_sign_encoder(on_this_machine(folder))[0] for folder in info.encoders]
    return [optimize_for_inference(encoder, threads=threads) for encoder in loaded]


def encode_video(
    path: str | Path,
    encoders: Sequence[InferenceEncoder],
    alpha: float,
    model: RetrievalModel,
    limits: DecodeLimits = QUERY_LIMITS,
) -> VideoQuery:
    """A video file to a query, on the way that the corpus' clips went: signer found, still ends cut, encoded.

    Raises
    ------
    InputError
        If the file can't be decoded within the limits; the message is the reason.
    """
    try:
        place = locate_signer(path, limits)
        clips = [
            decode_isolated(path, **place._asdict(), size=encoder.config.resize, limits=limits)
            for encoder in encoders
        ]
    except ClipError as error:
        raise InputError(f"the video can't be searched with: {error}") from error
    chosen = chosen_windows(len(clips[0].frames), model.config)
    features = [
        _sign_features(clip.frames, chosen, encoder) for clip, encoder in zip(clips, encoders, strict=True)
    ]
    mixed = features[0] if len(features) == 1 else alpha * features[0] + (1 - alpha) * features[1]
    times, end = clips[0].times, float(clips[0].times[-1]) + 1 / clips[0].fps
    # A clip shorter than a window is filled up with its last frame: nothing is signed after its end.
    spans = window_times([0] * len(chosen), clips[0].fps)
    windows = [
        (float(times[i]), min(float(times[i]) + span[1], end)) for i, span in zip(chosen, spans, strict=True)
    ]
    return VideoQuery(_tokens(model, mixed), float(times[0]), end, windows)


class Place(NamedTuple):
    """Which part of a video is signed: seconds, and a square in fractions of the frame; None is all of it."""

    start: float | None
    end: float | None
    crop: list[float] | None


def locate_signer(path: str | Path, limits: DecodeLimits = QUERY_LIMITS) -> Place:
    """Find the signer in a video, and when signing starts and ends.

    A frame that is square already is taken to be cut to the signer, as corpora for this method are.

    Raises
    ------
    ClipError
        If the video can't be decoded within the limits.
    """
    clip = decode_isolated(path, longest=SEARCH_SIDE, limits=limits)
    box = find_signer(clip.frames, clip.fps)
    crop = None if clip.source_size[0] == clip.source_size[1] else box.crop
    if box.last_frame - box.first_frame + 1 >= len(clip.frames):
        return Place(None, None, crop)
    # Half a frame past the last one, so that rounding can neither lose it nor let the next in.
    end = float(clip.times[box.last_frame]) + 0.5 / clip.fps
    return Place(float(clip.times[box.first_frame]), end, crop)


def chosen_windows(frames: int, config: TowerConfig) -> list[int]:
    """First frames of the windows that the model reads of a video."""
    starts = window_starts(frames, config.window_stride)
    return [starts[i] for i in select_windows(len(starts), config.max_windows)]


def _sign_features(frames: NDArray[np.uint8], chosen: Sequence[int], encoder: InferenceEncoder) -> Tensor:
    """Sign features of windows, float32 [T, F]."""
    (output,) = encoder.encode([frames], [chosen])
    # Features are stored in half precision: a query's are rounded alike.
    return output.embedding.half().float()


@torch.inference_mode()
def _tokens(model: RetrievalModel, features: Tensor) -> NDArray[np.float32]:
    valid = torch.ones(1, len(features), dtype=torch.bool)
    tokens = model.encode_video(features[None], valid)[0]
    result: NDArray[np.float32] = tokens[1 : 1 + len(features)].float().numpy()
    return result
