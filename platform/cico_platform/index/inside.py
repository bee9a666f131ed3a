"""Where in a long, unsegmented video a sentence is signed."""

from typing import NamedTuple

import numpy as np

from cico_model.alignment import WordSpan, word_map, word_spans
from cico_model.clips import select_windows
from cico_model.inside import sliding_groups, suppress
from cico_model.model import RetrievalModel
from cico_platform.encoding.long_videos import LongVideo
from cico_platform.encoding.texts import TextQuery
from cico_platform.encoding.video_tokens import embed_features
from cico_platform.index.ranking import score

# Seconds that a sentence may take.
LENGTHS = (1.5, 2.5, 4.0, 6.0)


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


def find_inside(video: LongVideo, query: TextQuery, model: RetrievalModel, limit: int = 10) -> Inside:
    """The parts of a video in which a sentence may be signed, best first; none overlaps another."""
    groups = sliding_groups(video.times, LENGTHS)
    most = model.config.max_windows
    groups = [[group[i] for i in select_windows(len(group), most)] for group in groups]
    embedded = embed_features(model, [video.features[group] for group in groups])
    tokens = [one.astype(np.float32) for one in embedded]
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
