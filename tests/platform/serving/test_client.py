"""The client asks every route, waits when the service is busy, and says what went wrong."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_in_process import SETTINGS, Encoders, make_service
from fastapi.testclient import TestClient
from tiny_index import SENTENCES

from cico_platform.client import (
    BusyError,
    Client,
    ClientError,
    Filters,
    InvalidRequestError,
    NotFoundError,
    UnauthorizedError,
    UnreachableError,
)
from cico_platform.index.search import Searcher
from cico_platform.serving.http import build_app
from cico_platform.serving.keys import add_key


class Recorded(httpx.BaseTransport):
    """The app in this process, and how long the client slept between requests."""

    def __init__(self, app: Any) -> None:
        self.inner = TestClient(app, raise_server_exceptions=False)
        self.slept: list[float] = []
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
        headers = {k: v for k, v in request.headers.items() if k != "content-length"}
        path = request.url.raw_path.decode()
        found = self.inner.request(request.method, path, content=request.read(), headers=headers)
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)


@pytest.fixture
def carried(client: TestClient) -> Recorded:
    return Recorded(client.app)


@pytest.fixture
def asking(carried: Recorded) -> Iterator[Client]:
    with Client("http://service", transport=carried, sleep=carried.slept.append) as opened:
        yield opened


def test_every_route_gives_a_typed_answer(asking: Client, folder: Path, tmp_path: Path) -> None:
    found = asking.search(SENTENCES[3], limit=2, filters=Filters(signer="B"))
    assert (found.results[0].video_id, found.next_page) == ("clip-3", 2)
    assert {row.signer for row in found.results} == {"B"}
    second = asking.search(SENTENCES[3], limit=2, page=2, filters=Filters(signer=["B"]))
    assert not {row.video_id for row in second.results} & {row.video_id for row in found.results}
    video = folder / "videos" / "clip 5.mp4"
    assert asking.search_video(video, filters=Filters(split="test")).results[0].text == SENTENCES[5]
    assert asking.search_video(video, start=0.4, end=1.6).results
    assert asking.search_clip("clip-5").results[0].text == SENTENCES[5]
    like = asking.search_clip("clip-5", 0.0, 1.5, find="clips", limit=2, filters=Filters(signer="A"))
    assert {row.signer for row in like.results} == {"A"}
    assert [one.value for one in asking.filters().fields["corpus"].values] == ["tiny"]
    with pytest.raises(NotFoundError):  # this service keeps none
        asking.judge("clip-5", "wrong", 1, query="boy")
    aligned = asking.align(SENTENCES[3], "clip-3")
    assert [word.word for word in aligned.words] == aligned.map_words
    assert asking.align_video("a girl", video).video_id is None
    inside = asking.search_inside(SENTENCES[5], video, limit=2)
    assert 1 <= len(inside.ranges) <= 2
    assert 0 <= inside.ranges[0].start < inside.ranges[0].end
    clip = asking.clip("clip-5")
    assert clip.text == SENTENCES[5]
    assert asking.download("clip-5", tmp_path / "got.mp4").read_bytes() == video.read_bytes()
    assert [one.name for one in asking.collections()] == ["clips-1"]
    assert asking.ready()


def test_what_is_wrong_is_an_exception_that_says_why(
    asking: Client, carried: Recorded, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="no clip of this id") as caught:
        asking.clip("a/b c")
    assert caught.value.status == 404
    assert caught.value.request_id in str(caught.value)
    assert carried.asked[-1] == "GET /v1/clips/a%2Fb%20c"
    with pytest.raises(NotFoundError):
        asking.download("nobody", tmp_path / "got.mp4")
    assert list(tmp_path.iterdir()) == []
    for wrong in ({"text": ""}, {"text": "boy", "limit": 0}):
        with pytest.raises(InvalidRequestError):
            asking.search(**wrong)  # type: ignore[arg-type]
    (tmp_path / "letter.mp4").write_text("dear sir")
    with pytest.raises(InvalidRequestError, match="can't be searched with"):
        asking.search_video(tmp_path / "letter.mp4")
    with pytest.raises(ClientError, match=r"none\.mp4.*can't be read"):
        asking.search_video(tmp_path / "none.mp4")
    assert carried.slept == []


def test_a_busy_service_is_asked_again_when_it_says(
    searcher: Searcher, encoders: Encoders, folder: Path
) -> None:
    settings = SETTINGS.model_copy(update={"per_minute": 4.0, "burst": 1})
    carried = Recorded(build_app(make_service(searcher, encoders, settings), "0"))
    guard = carried.inner.app
    now = [0.0]

    def sleep(seconds: float) -> None:
        carried.slept.append(seconds)
        now[0] += seconds

    carried.inner.get("/healthz")  # the middleware is made with the first request
    while not hasattr(guard, "rates"):
        guard = guard.middleware_stack if hasattr(guard, "middleware_stack") else guard.app
    guard.rates._clock = lambda: now[0]
    with Client("http://service", transport=carried, retries=1, sleep=sleep) as asking:
        asking.collections()
        video = folder / "videos" / "clip 1.mp4"
        assert asking.search_video(video).results[0].text == SENTENCES[1]  # sent again, from its beginning
        assert carried.slept == [15.0]
        guard.rates._clock = lambda: 15.0  # time stands still
        with pytest.raises(BusyError, match="4 requests a minute") as caught:
            asking.collections()
        assert caught.value.retry_after == 15
        assert carried.slept == [15.0, 15.0]


def test_a_key_is_sent_and_a_missing_one_is_said_so(
    searcher: Searcher, encoders: Encoders, tmp_path: Path
) -> None:
    _, key = add_key(tmp_path / "keys.json", "archive")
    settings = SETTINGS.model_copy(update={"keys": str(tmp_path / "keys.json")})
    app = build_app(make_service(searcher, encoders, settings), "0")
    with Client("http://service", key, transport=Recorded(app)) as asking:
        assert asking.collections()
    with Client("http://service", transport=Recorded(app)) as asking, pytest.raises(UnauthorizedError):
        asking.collections()


def test_nobody_listening_is_said_so_after_the_retries() -> None:
    slept: list[float] = []
    with (
        Client("http://127.0.0.1:9", retries=2, timeout=5, sleep=slept.append) as asking,
        pytest.raises(UnreachableError, match="doesn't answer"),
    ):
        asking.search("boy")
    assert slept == [1.0, 2.0]
    with Client("http://127.0.0.1:9") as asking:
        assert not asking.ready()


def test_the_client_needs_neither_torch_nor_ray() -> None:
    code = "import sys, cico_platform.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint({"torch", "ray", "fastapi", "qdrant_client", "av", "cv2"})
