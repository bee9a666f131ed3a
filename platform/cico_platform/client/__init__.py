"""A typed client of the search API, for programs: `from cico_platform.client import Client`."""

from cico_platform.client.errors import (
    ApiError,
    BusyError,
    ClientError,
    InvalidRequestError,
    NotFoundError,
    UnauthorizedError,
    UnreachableError,
)
from cico_platform.client.sync import Client
from cico_platform.index.clips import Filters
from cico_platform.serving.schemas import (
    AlignResponse,
    Clip,
    Collection,
    InsideResponse,
    Result,
    SearchResponse,
    VideoRange,
)

__all__ = [
    "AlignResponse",
    "ApiError",
    "BusyError",
    "Client",
    "ClientError",
    "Clip",
    "Collection",
    "Filters",
    "InsideResponse",
    "InvalidRequestError",
    "NotFoundError",
    "Result",
    "SearchResponse",
    "UnauthorizedError",
    "UnreachableError",
    "VideoRange",
]
