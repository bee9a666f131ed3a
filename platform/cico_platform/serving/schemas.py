"""What the API takes and answers; the client reads answers with the same models."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cico_platform.encoding.limits import MAX_TEXT
from cico_platform.index.clips import MAX_DEPTH, MAX_LIMIT, Filters

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many results at most.")]
Page = Annotated[int, Field(ge=1, le=MAX_DEPTH, description="Which results: the first `limit`, the next, …")]
Sentence = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, description="The sentence.")]
VideoId = Annotated[str, Field(min_length=1, max_length=512, description="The id of an indexed clip.")]
Probability = Annotated[float, Field(ge=0, le=1)]


class Paging(BaseModel):
    """Which of the results, and which clips may be results."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = 10
    page: Page = 1
    filters: Filters = Filters()

    @model_validator(mode="after")
    def _not_too_deep(self) -> Self:
        if self.page * self.limit > MAX_DEPTH:
            raise ValueError(
                f"page {self.page} of {self.limit} is too deep: {MAX_DEPTH} results can be paged"
            )
        return self

    @property
    def offset(self) -> int:
        """How many results come before this page."""
        return (self.page - 1) * self.limit


class SearchRequest(Paging):
    """A search by a sentence."""

    text: Sentence


Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class VideoForm(Paging):
    """The fields beside a video that is searched with: of its part from `start` to `end`, in seconds."""

    start: Seconds | None = None
    end: Seconds | None = None

    @model_validator(mode="after")
    def _is_a_part(self) -> Self:
        check_part(self.start, self.end)
        return self


class ClipRequest(Paging):
    """A search by an indexed clip, or by its part from `start` to `end`, in seconds within the clip.

    `find` says what is looked for: the sentences that the part may sign, or clips that look like it.
    """

    video_id: VideoId
    start: Seconds | None = None
    end: Seconds | None = None
    find: Literal["sentences", "clips"] = "sentences"

    @model_validator(mode="after")
    def _is_a_part(self) -> Self:
        check_part(self.start, self.end)
        return self


def check_part(start: float | None, end: float | None) -> None:
    """Refuse a part that is empty.

    Raises
    ------
    ValueError
        If so.
    """
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"the part ends at {end:g} s, which is not after its start at {start or 0:g} s")


class ValueCount(BaseModel):
    """A value of a field, and how many clips have it; an index on a server may estimate the number."""

    value: str
    clips: int


class FieldValues(BaseModel):
    """The commonest values of a field; `more` if there are others."""

    values: list[ValueCount]
    more: bool


class FiltersResponse(BaseModel):
    """What can be filtered by, as it was at most a minute ago: `fields` by the names of `filters`."""

    clips: int
    fields: dict[str, FieldValues]


class AlignRequest(BaseModel):
    """A sentence, and the indexed clip that signs it."""

    model_config = ConfigDict(extra="forbid")

    text: Sentence
    video_id: VideoId


class AlignForm(BaseModel):
    """A sentence, beside the video that signs it."""

    model_config = ConfigDict(extra="forbid")

    text: Sentence


class InsideForm(BaseModel):
    """A sentence, beside the long video in which it may be signed."""

    model_config = ConfigDict(extra="forbid")

    text: Sentence
    limit: Limit = 10


class WordTime(BaseModel):
    """When a word is signed, in seconds within the clip, or within an uploaded file.

    `weight` is the part of its attention there.
    """

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
    """A clip that answered.

    The score is a weighted cosine (-1 to 1); `probability` that the result is right is there where the
    collection was calibrated.
    """

    score: float
    probability: Probability | None = None
    words: list[WordTime]


class SearchResponse(BaseModel):
    """Ranked results, best first.

    `nothing_fits`: even the best result of all is likelier wrong than right, by the collection's threshold;
    None where the collection was not calibrated, and on later pages. `next_page` is None on the last.
    `takes_feedback`: whether `POST /v1/feedback` takes judgements of these results.
    """

    results: list[Result]
    nothing_fits: bool | None = None
    page: int = 1
    next_page: int | None = None
    takes_feedback: bool = False
    seconds: float
    request_id: str


class WindowTime(BaseModel):
    """When a window of a video is, in seconds within the clip, or within an uploaded file."""

    start: float
    end: float


class AlignResponse(BaseModel):
    """Which window of a video answers which word.

    `map_words` are the W words of `text_to_video`, which has W rows of T windows, each summing to 1, and of
    `video_to_text`, which has T rows of W words, each summing to at most 1.
    """

    video_id: str | None
    text: str
    score: float
    probability: Probability | None = None
    words: list[WordTime]
    windows: list[WindowTime]
    map_words: list[str]
    text_to_video: list[list[float]]
    video_to_text: list[list[float]]
    seconds: float
    request_id: str


class VideoRange(BaseModel):
    """A part of an uploaded video in which the sentence may be signed; times are seconds within the file.

    The score is a weighted cosine (-1 to 1).
    """

    start: float
    end: float
    score: float
    words: list[WordTime]


class InsideResponse(BaseModel):
    """Where in a video a sentence may be signed, best first; none of the parts overlaps another.

    `read_seconds` is less than the video is long if the rest of it can't be decoded.
    """

    text: str
    ranges: list[VideoRange]
    read_seconds: float
    seconds: float
    request_id: str


class Threshold(BaseModel):
    """When nothing fits, and how well that does on `queries` of the validation split."""

    probability: Probability
    precision: Probability
    recall: Probability
    queries: int


class Collection(BaseModel):
    """A collection of the index; `thresholds` are there where it was calibrated: of `text` and `video`."""

    name: str
    live: bool
    corpus: str
    clips: int
    model: str
    dim: int
    encoders: int
    thresholds: dict[str, Threshold]


class CollectionsResponse(BaseModel):
    """What the index holds, the live collection first."""

    collections: list[Collection]


class Problem(BaseModel):
    """An error (RFC 9457): what was wrong, and the request's id to ask about."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
