"""What the API takes as feedback."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cico_platform.index.clips import MAX_DEPTH
from cico_platform.schemas.feedback import SEARCH_NAME
from cico_platform.serving.schemas import Sentence, VideoId


class Feedback(BaseModel):
    """A judgement of a result: of a search by `text`, by `video`, or by `clip`.

    `query` is the sentence of a search by text, which is kept; nothing is kept of a video. `rank` is the
    place of the result, 1 for the first. `search`, which the client draws at random, is the same for all
    results of one search.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["text", "video", "clip"]
    query: Sentence | None = None
    search: Annotated[str, Field(pattern=SEARCH_NAME)] | None = None
    video_id: VideoId
    rank: Annotated[int, Field(ge=1, le=MAX_DEPTH)]
    verdict: Literal["right", "wrong"]

    @model_validator(mode="after")
    def _says_its_query(self) -> Self:
        if (self.query is not None) != (self.kind == "text"):
            raise ValueError("send the query of a search by text, and of no other search")
        return self
