"""What may go wrong when the API is asked."""

from cico_platform.errors import CicoError


class ClientError(CicoError):
    """The API was asked in vain: it answered with an error, or not at all."""


class ApiError(ClientError):
    """The API refused: its status, why, and the request's id to ask about.

    Attributes
    ----------
    status
        HTTP status.
    detail
        Why, in a sentence.
    request_id
        What the service's log calls the request.
    retry_after
        Seconds after which it may be asked again, where it said so.
    """

    def __init__(
        self, status: int, detail: str, request_id: str = "", retry_after: float | None = None
    ) -> None:
        told = f" (request {request_id})" if request_id else ""
        super().__init__(f"{status}: {detail}{told}")
        self.status, self.detail, self.request_id, self.retry_after = status, detail, request_id, retry_after


class UnauthorizedError(ApiError):
    """401: an API key is missing or unknown."""


class NotFoundError(ApiError):
    """404: there is no such clip, or its file is not given out."""


class InvalidRequestError(ApiError):
    """400, 413, 422: the request can't be answered; asking again doesn't help."""


class BusyError(ApiError):
    """429, 503: the service had too much to do, in every attempt."""


class UnreachableError(ClientError):
    """Nothing answered at the address, or not in time."""


def error_of(status: int, detail: str, request_id: str, retry_after: float | None) -> ApiError:
    """The exception for a status."""
    kinds: dict[int, type[ApiError]] = {
        400: InvalidRequestError,
        401: UnauthorizedError,
        404: NotFoundError,
        413: InvalidRequestError,
        422: InvalidRequestError,
        429: BusyError,
        503: BusyError,
    }
    return kinds.get(status, ApiError)(status, detail, request_id, retry_after)
