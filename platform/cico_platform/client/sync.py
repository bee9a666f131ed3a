"""The client: one method a route, answers as the service's own models, retries where it helps."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from cico_platform.client.errors import ApiError, ClientError, UnreachableError, error_of
from cico_platform.index.clips import Filters
from cico_platform.serving.feedback_schemas import Feedback
from cico_platform.serving.schemas import (
    AlignResponse,
    Clip,
    Collection,
    CollectionsResponse,
    FiltersResponse,
    InsideResponse,
    SearchResponse,
)

M = TypeVar("M", bound=BaseModel)
AGAIN = (429, 503)
CHUNK = 1 << 16


class Client:
    """Asks a service that `cico serve` has started.

    Parameters
    ----------
    address
        `http://host:port`.
    key
        API key, where the service needs one.
    timeout
        Seconds to wait for a connection, or for the next piece of an answer.
    retries
        How often a request is sent again that was answered with 429 or 503, or found nobody listening: after
        as long as the service says (`Retry-After`), but no longer than `longest_wait` seconds.
    transport
        What carries the requests, for those who need another than httpx' own.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     found = client.search("the boy reads a book", filters=Filters(signer="A"))
    ...     best = found.results[0]
    ...     print(best.text, best.probability, [(w.word, w.start, w.end) for w in best.words])
    ...     client.download(best.video_id, "best.mp4")
    """

    def __init__(
        self,
        address: str,
        key: str | None = None,
        *,
        timeout: float = 120.0,
        retries: int = 3,
        longest_wait: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=address, headers=headers, timeout=timeout, transport=transport, follow_redirects=False
        )
        self.retries, self.longest_wait, self._sleep = retries, longest_wait, sleep

    def search(
        self, text: str, limit: int = 10, page: int = 1, filters: Filters | None = None
    ) -> SearchResponse:
        """The clips that say a sentence, best first.

        Raises
        ------
        ClientError
            Here and everywhere: an `ApiError` if the service refuses (`BusyError`, `InvalidRequestError`,
            `NotFoundError`, `UnauthorizedError`), `UnreachableError` if it doesn't answer.
        """
        body = {"text": text, "limit": limit, "page": page, "filters": _given(filters)}
        return self._ask(SearchResponse, "POST", "/v1/search", json=body)

    def search_video(
        self,
        video: str | Path,
        limit: int = 10,
        page: int = 1,
        filters: Filters | None = None,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> SearchResponse:
        """The sentences that a video file, or its part from `start` to `end` (seconds), may sign."""
        asked = Filters() if filters is None else filters
        form = {"limit": limit, "page": page, "filters": asked.model_dump_json(exclude_none=True)}
        form |= {name: value for name, value in (("start", start), ("end", end)) if value is not None}
        return self._upload(SearchResponse, "/v1/search/video", video, form)

    def search_clip(
        self,
        video_id: str,
        start: float | None = None,
        end: float | None = None,
        *,
        find: Literal["sentences", "clips"] = "sentences",
        limit: int = 10,
        page: int = 1,
        filters: Filters | None = None,
    ) -> SearchResponse:
        """The sentences that an indexed clip, or its part (seconds), may sign, or clips that look like it."""
        body = {"video_id": video_id, "start": start, "end": end, "find": find, "limit": limit, "page": page}
        return self._ask(SearchResponse, "POST", "/v1/search/clip", json=body | {"filters": _given(filters)})

    def judge(
        self,
        video_id: str,
        verdict: Literal["right", "wrong"],
        rank: int,
        *,
        query: str | None = None,
        kind: Literal["text", "video", "clip"] = "text",
        search: str | None = None,
    ) -> None:
        """Say that the result at a rank of a search is right or wrong, where the service takes feedback.

        `query` is the sentence of a search by text; `search`, drawn at random, is shared by the judgements of
        one search.
        """
        said = Feedback(kind=kind, query=query, search=search, video_id=video_id, rank=rank, verdict=verdict)
        with self._answer("POST", "/v1/feedback", json=said.model_dump()) as answer:
            answer.read()

    def filters(self) -> FiltersResponse:
        """Values of the fields that searches can be filtered by, with the number of clips of each."""
        return self._ask(FiltersResponse, "GET", "/v1/filters")

    def search_inside(self, text: str, video: str | Path, limit: int = 10) -> InsideResponse:
        """When a sentence may be signed in a long video file, best first; the times are the file's own."""
        return self._upload(InsideResponse, "/v1/search/inside", video, {"text": text, "limit": limit})

    def align(self, text: str, video_id: str) -> AlignResponse:
        """When an indexed clip signs the words of a sentence, and the weights between words and windows."""
        return self._ask(AlignResponse, "POST", "/v1/align", json={"text": text, "video_id": video_id})

    def align_video(self, text: str, video: str | Path) -> AlignResponse:
        """When a video file signs the words of a sentence."""
        return self._upload(AlignResponse, "/v1/align/video", video, {"text": text})

    def clip(self, video_id: str) -> Clip:
        """What is known of a clip."""
        return self._ask(Clip, "GET", f"/v1/clips/{quote(video_id, safe='')}")

    def download(self, video_id: str, target: str | Path) -> Path:
        """Save a clip's file; returns where. A file that is there is replaced, once the new one is whole."""
        path = Path(target)
        partial = path.with_name(f".{path.name}.partial")
        try:
            address = f"/v1/clips/{quote(video_id, safe='')}/media"
            with self._answer("GET", address) as answer, partial.open("wb") as file:
                for piece in answer.iter_bytes(CHUNK):
                    file.write(piece)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def collections(self) -> list[Collection]:
        """What the index holds, the live collection first."""
        return self._ask(CollectionsResponse, "GET", "/v1/collections").collections

    def ready(self) -> bool:
        """Whether searches can be answered now; asked once."""
        try:
            return self._http.get("/readyz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _upload(self, kind: type[M], path: str, video: str | Path, form: dict[str, Any]) -> M:
        try:
            with Path(video).open("rb") as file:
                files = {"file": (Path(video).name, file)}
                return self._ask(kind, "POST", path, data=form, files=files, rewind=file.seek)
        except OSError as error:
            raise ClientError(f"the video '{video}' can't be read: {error.strerror}") from error

    def _ask(self, kind: type[M], method: str, path: str, **request: Any) -> M:
        with self._answer(method, path, **request) as answer:
            try:
                return kind.model_validate_json(answer.read())
            except (ValidationError, httpx.HTTPError) as error:
                raise ClientError(f"the answer of {answer.url} is not one of this API: {error}") from error

    @contextmanager
    def _answer(
        self, method: str, path: str, *, rewind: Callable[[int], Any] | None = None, **request: Any
    ) -> Iterator[httpx.Response]:
        """An answer that is no error, its body not yet read."""
        for attempt in range(self.retries + 1):
            if rewind is not None:
                rewind(0)
            try:
                with self._http.stream(method, path, **request) as answer:
                    if answer.status_code < 300:
                        yield answer
                        return
                    answer.read()
                    failure: ClientError = _error(answer)
            except httpx.TransportError as error:
                failure = UnreachableError(f"{self._http.base_url} doesn't answer: {error}")
                if not isinstance(error, httpx.ConnectError):
                    raise failure from error
            if attempt == self.retries or not self._may_help(failure):
                raise failure
            self._sleep(self._wait(failure, attempt))

    @staticmethod
    def _may_help(failure: ClientError) -> bool:
        return not isinstance(failure, ApiError) or failure.status in AGAIN

    def _wait(self, failure: ClientError, attempt: int) -> float:
        said = failure.retry_after if isinstance(failure, ApiError) else None
        return min(self.longest_wait, 2.0**attempt if said is None else said)


def _given(filters: Filters | None) -> dict[str, Any]:
    return {} if filters is None else filters.model_dump(exclude_none=True)


def _error(answer: httpx.Response) -> ApiError:
    try:
        body = answer.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    said = answer.headers.get("retry-after", "")
    return error_of(
        answer.status_code,
        str(body.get("detail") or answer.reason_phrase),
        str(body.get("request_id") or answer.headers.get("x-request-id", "")),
        float(said) if said.isdecimal() else None,
    )
