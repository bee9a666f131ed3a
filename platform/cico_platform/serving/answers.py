"""What was found, as the API shows it."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from cico_model.alignment import WordSpan
from cico_model.calibration import Calibration
from cico_platform.index.clips import Hit
from cico_platform.index.inside import Range
from cico_platform.index.ranking import Ranked
from cico_platform.index.search import clip_times
from cico_platform.serving.schemas import Clip, Result, VideoRange, WordTime

OPTIONAL = ("corpus", "language", "sign_language", "signer", "licence", "split")


def clip(hit: Hit) -> Clip:
    """A clip as the API shows it: its path on the server's disk stays there."""
    return Clip(**_described(hit))


def result(ranked: Ranked, calibration: Calibration | None = None) -> Result:
    """A ranked clip as the API shows it."""
    return Result(
        **_described(ranked.hit),
        score=round(ranked.score, 6),
        probability=probability(ranked.score, calibration),
        words=word_times(ranked.words),
    )


def probability(score: float, calibration: Calibration | None) -> float | None:
    """The probability of a score, where the collection was calibrated."""
    return None if calibration is None else round(calibration.probability(score), 4)


def word_times(words: Iterable[WordSpan]) -> list[WordTime]:
    """When words are signed."""
    return [
        WordTime(word=s.word, start=round(s.start, 3), end=round(s.end, 3), weight=round(s.weight, 4))
        for s in words
    ]


def video_range(found: Range) -> VideoRange:
    """A part of an uploaded video as the API shows it."""
    return VideoRange(
        start=round(found.start, 3),
        end=round(found.end, 3),
        score=round(found.score, 6),
        words=word_times(found.words),
    )


def _described(hit: Hit) -> dict[str, Any]:
    payload = hit.payload
    start, end = clip_times(payload)
    return {
        "video_id": hit.video_id,
        "text": str(payload.get("text_original") or payload.get("text") or ""),
        "start": round(start, 3),
        "end": round(end, 3),
        "media": f"v1/clips/{quote(hit.video_id, safe='')}/media",
        **{name: payload.get(name) for name in OPTIONAL},
    }
