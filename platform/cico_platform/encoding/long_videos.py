"""A long, unsegmented video as sign features of its windows, chunk by chunk."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cico_model.clips import window_starts
from cico_model.config import WINDOW_FRAMES
from cico_platform.corpus.framing import FramingSettings
from cico_platform.corpus.isolation import decode_framed, decode_isolated
from cico_platform.corpus.limits import ClipError, DecodedClip, StillError
from cico_platform.corpus.signer_box import SEARCH_SIDE
from cico_platform.encoding.clip_encoder import ClipEncoder
from cico_platform.encoding.mixing import Features
from cico_platform.encoding.video_queries import QUERY_LIMITS
from cico_platform.encoding.windows import window_spans
from cico_platform.errors import InputError

# Seconds that a chunk overlaps the next one: more than a window.
OVERLAP = 1.0
# Times that differ by less are the same.
EPSILON = 1e-6


@dataclass(frozen=True)
class LongVideoSettings:
    """How a long video is read.

    Attributes
    ----------
    chunk
        Seconds that are decoded at a time.
    stride
        Frames from one window to the next; a model that reads fewer windows has its own.
    longest
        Longest video, in seconds.
    """

    chunk: float = 30.0
    stride: int = 2
    longest: float = 3 * 3600.0


class LongVideo(NamedTuple):
    """Mixed sign features float16 [W, F] of a video's windows, and their times in seconds."""

    features: Features
    times: list[tuple[float, float]]


def read_long_video(
    path: str | Path, encoder: ClipEncoder, settings: LongVideoSettings | None = None
) -> LongVideo:
    """Encode a video chunk by chunk; memory does not grow with its length, but for the features.

    Raises
    ------
    InputError
        If it can't be decoded, or is too long.
    """
    return join_chunks(list(read_chunks(path, encoder, settings)))


def join_chunks(chunks: Sequence[LongVideo]) -> LongVideo:
    """The chunks of a video, in their order, as one."""
    features = np.concatenate([chunk.features for chunk in chunks])
    return LongVideo(features, [span for chunk in chunks for span in chunk.times])


def read_chunks(
    path: str | Path, encoder: ClipEncoder, settings: LongVideoSettings | None = None
) -> Iterator[LongVideo]:
    """The windows of a video that no chunk before had, for those who do other work in between.

    Raises
    ------
    InputError
        If it can't be decoded, or is too long.
    """
    settings = settings or LongVideoSettings()
    stride = max(settings.stride, encoder.model.config.window_stride)
    last = -np.inf
    try:
        for clip in _chunks(path, encoder, settings):
            times = clip.times
            limit = float(times[0]) + settings.chunk
            starts = [s for s in window_starts(len(times), stride) if float(times[s]) < limit - EPSILON]
            # What is left at the end may be less than a window; the chunk before has read it.
            whole = len(times) >= WINDOW_FRAMES or last == -np.inf
            fresh = [s for s in starts if whole and float(times[s]) > last + EPSILON]
            if not fresh:
                continue
            features = encoder.features(clip.frames, fresh)
            last = float(times[fresh[-1]])
            yield LongVideo(features, window_spans(fresh, clip.boundaries().tolist()))
    except ClipError as error:
        raise InputError(f"the video can't be searched in: {error}") from error


def _chunks(path: str | Path, encoder: ClipEncoder, settings: LongVideoSettings) -> Iterator[DecodedClip]:
    """The video in chunks, each decoded once and a little longer than up to the next one's start."""
    _check_length(path, settings.longest)
    framing = replace(encoder.encoding.framing, trim=False)
    first: DecodedClip | None = None
    begin = 0.0
    while True:
        end = begin + settings.chunk + OVERLAP
        # A picture that stands still for longer than a chunk, or begins after it, goes on in a later one.
        with suppress(StillError):
            try:
                clip = _chunk(path, encoder, framing, first, begin, end)
            except StillError:
                raise
            except ClipError:
                if first is None:
                    raise
                return  # the video ended with the last chunk
            first = first or clip
            yield clip
            if clip.end < end - EPSILON and float(clip.times[-1]) < begin + settings.chunk:
                return
        begin += settings.chunk
        if begin >= settings.longest:
            raise _too_long(settings.longest)


def _chunk(
    path: str | Path,
    encoder: ClipEncoder,
    framing: FramingSettings,
    first: DecodedClip | None,
    begin: float,
    end: float,
) -> DecodedClip:
    """One chunk; where the signer is in the first, the signer stays."""
    size = encoder.frame_size
    if first is None:
        return decode_framed(path, framing, size, QUERY_LIMITS, start=begin or None, end=end)
    return decode_isolated(path, start=begin, end=end, crop=first.crop, size=size, limits=QUERY_LIMITS)


def _check_length(path: str | Path, longest: float) -> None:
    """Refuse a video that goes on after so many seconds, before any of it is encoded.

    Raises
    ------
    ClipError
        If so.
    """
    try:
        decode_isolated(path, start=longest, end=longest + 1.0, longest=SEARCH_SIDE, limits=QUERY_LIMITS)
    except ClipError:  # nothing is there, as it should be
        return
    raise _too_long(longest)


def _too_long(longest: float) -> ClipError:
    return ClipError(f"it is longer than the {longest / 60:g} minutes that are searched in")
