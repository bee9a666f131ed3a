"""Feedback: what people said of results, right or wrong, as lines of JSON."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# The name of a search that several judgements belong to: drawn by the client, used for nothing else.
SEARCH_NAME = r"^[A-Za-z0-9-]{8,64}$"
MAX_LINE = 1 << 14


class Judgement(BaseModel):
    """One result of one search, judged.

    Attributes
    ----------
    day
        When, as `YYYY-MM-DD`; no time of day, so that a line cannot be matched with a log of requests.
    collection
        The collection that was searched.
    kind
        What it was searched by; `query` is the sentence of a search by text, and None for the others.
    search
        What the judgements of one search share, if the client said it.
    video_id, text
        The result, and the sentence that it was shown with.
    rank
        Its place in the results, 1 for the first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    collection: str
    kind: Literal["text", "video", "clip"]
    query: str | None = None
    search: Annotated[str | None, Field(pattern=SEARCH_NAME)] = None
    video_id: str
    text: str
    rank: Annotated[int, Field(ge=1)]
    verdict: Literal["right", "wrong"]

    @model_validator(mode="after")
    def _says_its_query(self) -> Self:
        if (self.query is not None) != (self.kind == "text"):
            raise ValueError("a search by text has a query, and no other search has one")
        return self
