"""Where in a long, unsegmented video a sentence is signed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.alignment import WordSpan, word_map, word_spans
from cico_model.clips import select_windows, window_starts
from cico_model.config import WINDOW_FRAMES
from cico_model.inference import InferenceEncoder
from cico_model.inside import sliding_groups, suppress
from cico_model.model import RetrievalModel
from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError, DecodedClip
from cico_platform.corpus.signer_box import SEARCH_SIDE, find_signer
from cico_platform.errors import InputError
from cico_platform.index.queries import QUERY_LIMITS, TextQuery
from cico_platform.index.ranking import pad, score

BATCH = 64


@dataclass(frozen=True)
class InsideSettings:
    """How a long video is looked into.

    Attributes
    ----------
    stretch
        Seconds that are decoded at a time.
    stride
        Frames from one window to the next; a model that reads fewer windows has its own.
    lengths
        Seconds that a sentence may take.
    most
        Longest video, in seconds.
    """

    stretch: float = 30.0
    stride: int = 2
    lengths: tuple[float, ...] = (1.5, 2.5, 4.0, 6.0)
    most: float = 3 * 3600.0


class Range(NamedTuple):
    """A part of a video, in seconds: how well it fits, and when the words are signed in it."""

    start: float
    end: float
    score: float
    words: list[WordSpan]


class Inside(NamedTuple):
    """What is found in a video, best first, and how many seconds of it could be read."""

    ranges: list[Range]
    read: float


class LongVideo(NamedTuple):
    """Sign features float32 [W, F] of a video's windows, and their times in seconds."""

    features: NDArray[np.float32]
    times: list[tuple[float, float]]


def read_long_video(
    path: str | Path,
    encoders: Sequence[InferenceEncoder],
    alpha: float,
    model: RetrievalModel,
    settings: InsideSettings | None = None,
) -> LongVideo:
    """Encode a video stretch by stretch; memory does not grow with its length, but for the features.

    Raises
    ------
    InputError
        If it can't be decoded, or is too long.
    """
    return join(list(read_stretches(path, encoders, alpha, model, settings)))


def join(stretches: Sequence[LongVideo]) -> LongVideo:
    """The stretches of a video, in their order, as one."""
    features = np.concatenate([stretch.features for stretch in stretches])
    return LongVideo(features, [span for stretch in stretches for span in stretch.times])


def read_stretches(
    path: str | Path,
    encoders: Sequence[InferenceEncoder],
    alpha: float,
    model: RetrievalModel,
    settings: InsideSettings | None = None,
) -> Iterator[LongVideo]:
    """The windows of a video that no stretch before had, for those who do other work in between.

    Raises
    ------
    InputError
        If it can't be decoded, or is too long.
    """
    settings = settings or InsideSettings()
    stride = max(settings.stride, model.config.window_stride)
    last = -np.inf
    try:
        for clips in _stretches(path, [encoder.config.resize for encoder in encoders], settings):
            own, fps = clips[0].times, clips[0].fps
            limit = float(own[0]) + settings.stretch
            starts = [s for s in window_starts(len(own), stride) if float(own[s]) < limit - 1e-6]
            mixed = _features(clips, starts, encoders, alpha)
            # What is left at the end may be less than a window; the stretch before has read it.
            whole = len(own) >= WINDOW_FRAMES or last == -np.inf
            fresh = [i for i, s in enumerate(starts) if whole and float(own[s]) > last + 1e-6]
            if not fresh:
                continue
            begins = [float(own[starts[i]]) for i in fresh]
            last = begins[-1]
            end = float(own[-1]) + 1 / fps
            yield LongVideo(
                mixed[fresh], [(begin, min(begin + WINDOW_FRAMES / fps, end)) for begin in begins]
            )
    except ClipError as error:
        raise InputError(f"the video can't be searched in: {error}") from error


@torch.inference_mode()
def find_inside(
    video: LongVideo,
    query: TextQuery,
    model: RetrievalModel,
    limit: int = 10,
    settings: InsideSettings | None = None,
) -> Inside:
    """The parts of a video in which a sentence may be signed, best first; none overlaps another."""
    settings = settings or InsideSettings()
    groups = sliding_groups(video.times, settings.lengths)
    most = model.config.max_windows
    groups = [[group[i] for i in select_windows(len(group), most)] for group in groups]
    tokens: list[NDArray[np.float32]] = []
    for first in range(0, len(groups), BATCH):
        part = groups[first : first + BATCH]
        features, valid = pad([video.features[group] for group in part])
        encoded = model.encode_video(features, valid).float().numpy()
        tokens += [encoded[row, 1 : 1 + len(group)] for row, group in enumerate(part)]
    scores = score(tokens, [query.tokens], model.config)[:, 0]
    spans = [(video.times[group[0]][0], video.times[group[-1]][1]) for group in groups]
    found = []
    for place in suppress(spans, scores, limit):
        windows = [video.times[i] for i in groups[place]]
        weights = word_map(tokens[place], query.tokens, query.words, temperature=model.config.temperature)
        rows = [(word, [row]) for row, word in enumerate(weights.words)]
        words = word_spans(weights.text_to_video, rows, windows) if rows else []
        found.append(Range(*spans[place], float(scores[place]), words))
    return Inside(found, max(end for _, end in video.times))


def _stretches(
    path: str | Path, sizes: Sequence[int], settings: InsideSettings
) -> Iterator[list[DecodedClip]]:
    """The video in stretches, each a second longer than the next one's start; decoded once a size."""
    _check_length(path, settings.most)
    crop: list[float] | None = None
    begin = 0.0
    while True:
        end = begin + settings.stretch + 1.0
        try:
            if begin == 0.0:
                clip = decode_isolated(path, end=end, longest=SEARCH_SIDE, limits=QUERY_LIMITS)
                square = clip.source_size[0] == clip.source_size[1]
                crop = None if square else find_signer(clip.frames, clip.fps).crop
            clips = [
                decode_isolated(path, start=begin, end=end, crop=crop, size=size, limits=QUERY_LIMITS)
                for size in sizes
            ]
        except ClipError:
            if begin == 0.0:
                raise
            return  # the video ended with the last stretch
        yield clips
        if float(clips[0].times[-1]) < begin + settings.stretch:
            return
        begin += settings.stretch
        if begin >= settings.most:
            raise _too_long(settings.most)


def _check_length(path: str | Path, most: float) -> None:
    """Refuse a video that goes on after so many seconds, before any of it is encoded.

    Raises
    ------
    ClipError
        If so.
    """
    try:
        decode_isolated(path, start=most, end=most + 1.0, longest=SEARCH_SIDE, limits=QUERY_LIMITS)
    except ClipError:  # nothing is there, as it should be
        return
    raise _too_long(most)


def _too_long(most: float) -> ClipError:
    return ClipError(f"it is longer than the {most / 60:g} minutes that are searched in")


def _features(
    clips: Sequence[DecodedClip], starts: Sequence[int], encoders: Sequence[InferenceEncoder], alpha: float
) -> NDArray[np.float32]:
    """Sign features of windows, rounded as stored ones are; two encoders' are mixed."""
    each = [
        encoder.encode([clip.frames], [list(starts)])[0].embedding.half().float().numpy()
        for clip, encoder in zip(clips, encoders, strict=True)
    ]
    mixed = each[0] if len(each) == 1 else alpha * each[0] + (1 - alpha) * each[1]
    return np.asarray(mixed, dtype=np.float32)
