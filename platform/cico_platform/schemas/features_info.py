"""What a folder of sign features says of itself: `features.json`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cico_model.config import MAX_WINDOWS

INFO_FILE = "features.json"


class EncoderInfo(BaseModel):
    """A sign encoder: the name of its weights, and the folder or URL that they were read from."""

    model_config = ConfigDict(frozen=True)

    id: str
    path: str


class FeaturesInfo(BaseModel):
    """How the features of a folder were computed; folders of earlier versions say less.

    Attributes
    ----------
    encoders
        One or two: domain-agnostic first.
    alpha
        The first one's share when features are mixed.
    dim
        Width of the features.
    size
        Of the encoders.
    precision, stride, windows
        As in `EncodingSettings`.
    corpus
        Folder or URL of the corpus.
    """

    model_config = ConfigDict(frozen=True)

    encoders: tuple[EncoderInfo, ...] = Field(min_length=1, max_length=2)
    alpha: float = Field(ge=0.0, le=1.0)
    dim: int = Field(ge=1)
    size: str = ""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    stride: int = Field(default=1, ge=1)
    windows: int = Field(default=MAX_WINDOWS, ge=1)
    corpus: str = ""
