"""What the API takes and answers."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from cico_platform.index.clips import Filters, Hit
from cico_platform.index.queries import MAX_TEXT
from cico_platform.index.ranking import Ranked
from cico_platform.index.search import MAX_LIMIT, clip_times

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many results at most.")]


class SearchRequest(BaseModel):
    """A search by a sentence."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, description="The sentence to look for.")]
    limit: Limit = 10
    filters: Filters = Filters()


class WordTime(BaseModel):
    """When a word is signed, in seconds within the clip; `weight` is the part of its attention there."""

    word: str
    start: float
    end: float
    weight: float


class Clip(BaseModel):
    """A clip: what it says, where it lies in its file (seconds), and where the file is to be had."""

    video_id: str
    text: str
    start: float
    end: float
    media: str
    corpus: str | None = None
    language: str | None = None
    sign_language: str | None = None
    signer: str | None = None
    licence: str | None = None
    split: str | None = None


class Result(Clip):
    """A clip that answered. The score is a weighted cosine (-1 to 1), not a probability."""

    score: float
    words: list[WordTime]


class SearchResponse(BaseModel):
    """Ranked results, best first."""

    results: list[Result]
    seconds: float
    request_id: str


def clip(hit: Hit) -> Clip:
    """A clip as the API shows it: its path on the server's disk stays there."""
    return Clip(**_described(hit))


def result(ranked: Ranked) -> Result:
    """A ranked clip as the API shows it."""
    words = [
        WordTime(
            word=span.word, start=round(span.start, 3), end=round(span.end, 3), weight=round(span.weight, 4)
        )
        for span in ranked.words
    ]
    return Result(**_described(ranked.hit), score=round(ranked.score, 6), words=words)


def _described(hit: Hit) -> dict[str, Any]:
    from urllib.parse import quote

    payload = hit.payload
    start, end = clip_times(payload)
    optional = ("corpus", "language", "sign_language", "signer", "licence", "split")
    return {
        "video_id": hit.video_id,
        "text": str(payload.get("text_original") or payload.get("text") or ""),
        "start": round(start, 3),
        "end": round(end, 3),
        "media": f"v1/clips/{quote(hit.video_id, safe='')}/media",
        **{name: payload.get(name) for name in optional},
    }
