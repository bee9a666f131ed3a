"""Aligning a sentence with a video: the span of each word, and the weights between words and windows."""

from typing import NamedTuple

from cico_model.alignment import WordMap, WordSpan, word_map, word_spans
from cico_model.config import TowerConfig
from cico_platform.encoding.texts import TextQuery
from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.index.clips import Hit
from cico_platform.index.ranking import hit_windows, score, tokens_of


class Aligned(NamedTuple):
    """A score, when each word is signed, the windows' times in seconds, and the weights both ways."""

    score: float
    words: list[WordSpan]
    windows: list[tuple[float, float]]
    weights: WordMap


def align_video(video: VideoQuery, text: TextQuery, config: TowerConfig) -> Aligned:
    """A sentence and a video; the times are the video's own."""
    value = float(score([video.tokens], [text.tokens], config)[0, 0])
    weights = word_map(video.tokens, text.tokens, text.words, temperature=config.temperature)
    rows = [(word, [row]) for row, word in enumerate(weights.words)]
    spans = word_spans(weights.text_to_video, rows, video.windows) if rows else []
    return Aligned(value, spans, list(video.windows), weights)


def align_clip(hit: Hit, text: TextQuery, config: TowerConfig) -> Aligned:
    """A sentence and an indexed clip that came with its tokens; the times are within the clip."""
    duration = float(hit.payload.get("duration") or 0) or float("inf")
    # A clip shorter than a window is filled up with its last frame: nothing is signed after its end.
    windows = [(min(start, duration), min(end, duration)) for start, end in hit_windows(hit)]
    return align_video(VideoQuery(tokens_of(hit), windows[0][0], windows[-1][1], windows), text, config)
