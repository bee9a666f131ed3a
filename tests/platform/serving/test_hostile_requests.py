"""Whatever a client sends, the API answers with what was wrong, never with a failure, and goes on."""

import asyncio
import contextlib
import io
import socket
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_in_process import SETTINGS, Encoders, make_service, problem
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from tiny_index import SENTENCES

from cico_platform.index.search import Searcher
from cico_platform.serving.http import build_app
from cico_platform.serving.service import SearchService

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
EXAMPLES = 12
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def test_whatever_the_openapi_allows_or_forbids_gets_an_answer_that_it_describes(
    searcher: Searcher, encoders: Encoders, tmp_path: Path
) -> None:
    taking = SETTINGS.model_copy(update={"feedback": str(tmp_path)})
    app = build_app(make_service(searcher, encoders, taking), "0")
    schemathesis.checks.load_all_checks()
    checks = [schemathesis.checks.CHECKS.get_one(name) for name in CHECKS]
    asked: Counter[str] = Counter()
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                asked[case.operation.label] += 1
                case.validate_response(case.call(), checks=checks)

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong about a route that takes nothing
                ask()
    assert {
        "POST /v1/search",
        "POST /v1/align/video",
        "POST /v1/search/inside",
        "POST /v1/search/clip",
        "POST /v1/feedback",
        "GET /v1/filters",
        "GET /v1/clips/{video_id}/media",
    } <= set(asked)
    assert asked["POST /v1/search"] >= EXAMPLES


@pytest.fixture(scope="module")
def video(folder: Path) -> bytes:
    return (folder / "videos" / "clip 1.mp4").read_bytes()


@pytest.fixture
def alive(client: TestClient) -> Iterator[TestClient]:
    """The client; whatever was asked, a sentence still finds its clip afterwards."""
    yield client
    found = client.post("/v1/search", json={"text": SENTENCES[2], "limit": 1}).json()
    assert found["results"][0]["video_id"] == "clip-2"


def archive(kind: str) -> bytes:
    """50 MB of zeros, packed."""
    made, zeros = io.BytesIO(), bytes(50 << 20)
    if kind == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("video.mp4", zeros)
    else:
        with tarfile.open(fileobj=made, mode="w:xz") as packed:
            entry = tarfile.TarInfo("video.mp4")
            entry.size = len(zeros)
            packed.addfile(entry, io.BytesIO(zeros))
    return made.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda video: archive("zip"), id="zip"),
        pytest.param(lambda video: archive("tar"), id="tar"),
        pytest.param(lambda video: b"\x7fELF" + bytes(4000), id="program"),
        pytest.param(lambda video: b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="svg"),
        pytest.param(lambda video: video[: len(video) // 3], id="cut short"),
        pytest.param(lambda video: video[:64] + bytes(len(video)), id="header of a video"),
        pytest.param(lambda video: b"ffconcat version 1.0\nfile /etc/hostname\n", id="playlist"),
    ],
)
def test_what_only_claims_to_be_a_video_is_refused(
    alive: TestClient, video: bytes, content: Callable[[bytes], bytes]
) -> None:
    data = content(video)
    said = {"text": "boy"}
    for path, form in (("/v1/search/video", {}), ("/v1/align/video", said), ("/v1/search/inside", said)):
        answer = alive.post(path, files={"file": ("holiday.mp4", data[:190_000], "video/mp4")}, data=form)
        # A playable start of a video is a video.
        if answer.status_code != 200:
            assert "the video can't be searched" in problem(answer, 422)["detail"]
            assert "/tmp" not in answer.text


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "a\\..\\b.mp4", "x" * 5000, "a\r\nb: c", "\u202emp4"]
)
def test_a_files_name_decides_nothing(alive: TestClient, video: bytes, name: str) -> None:
    answer = alive.post("/v1/search/video", files={"file": (name, video)})
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert answer.json()["results"][0]["text"] == SENTENCES[1]


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(FILE + b"abc", end=b""), (400, 422)),
        (form(FILE)[:20], (400, 422)),
        (form(FILE + b"abc", FILE + b"abc"), (400,)),
        (form(*[b'Content-Disposition: form-data; name="a%d"\r\n\r\nb' % n for n in range(50)]), (400,)),
        (
            form(b'Content-Disposition: form-data; name="filters"\r\n\r\n' + b"[" * 60_000, FILE + b"x"),
            (422,),
        ),
        (
            form(b'Content-Disposition: form-data; name="filters"\r\n\r\n' + b"\xff\xfe", FILE + b"x"),
            (400, 422),
        ),
        (form(b"X: " + b"y" * 100_000 + b"\r\n\r\nz"), (400,)),
        (b"", (400, 422)),
    ],
    ids=[
        "no end",
        "cut in a header",
        "two files",
        "many fields",
        "deep filters",
        "no text",
        "long header",
        "empty",
    ],
)
def test_a_form_that_is_broken_or_too_much_is_refused(
    alive: TestClient, body: bytes, status: tuple[int, ...]
) -> None:
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for path in ("/v1/search/video", "/v1/align/video", "/v1/search/inside"):
        answer = alive.post(path, content=body, headers=kind)
        assert answer.status_code in status, answer.text
        problem(answer, answer.status_code)


@pytest.mark.parametrize("claimed", ["10737418240", "9" * 30, "-1", "1e9", "٣"])
def test_a_length_that_is_claimed_is_never_believed(alive: TestClient, claimed: str) -> None:
    sent = {"content-type": b"multipart/form-data; boundary=x", "content-length": claimed.encode()}
    for path in ("/v1/search/video", "/v1/align/video", "/v1/search/inside"):
        answer = alive.post(path, content=b"--x", headers=sent)  # type: ignore[arg-type]
        assert answer.status_code in (400, 413, 422)


class Listener:
    """A server on this machine that only counts who comes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.visits = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                self.socket.accept()[0].close()
            except OSError:
                return
            self.visits += 1


def test_a_url_is_never_fetched(alive: TestClient) -> None:
    listener = Listener()
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/video.mp4"
    playlists = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{url}'\n",
        f'<?xml version="1.0"?><MPD><BaseURL>{url}</BaseURL></MPD>',
        f"[playlist]\nFile1={url}\n",
        url,
    )
    for text in playlists:
        for name in ("a.m3u8", "a.mp4", url):
            answer = alive.post("/v1/search/video", files={"file": (name, text.encode())})
            assert answer.status_code in (400, 422), answer.text
    asked = alive.post(
        "/v1/search", json={"text": url, "filters": {"corpus": url, "signer": f"file://{url}"}}
    )
    assert asked.json()["results"] == []
    for wanted in (url, "file:///etc/passwd"):
        assert alive.get(f"/v1/clips/{wanted}/media").status_code in (404, 422)
        assert alive.post("/v1/align", json={"text": "boy", "video_id": wanted}).status_code == 404
    problem(alive.post("/v1/search/video", data={"file": url}), 422)
    listener.socket.close()
    assert listener.visits == 0


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "a\x00b",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "🤟" * 900,
        "‮boy",
        "a" * 1000,
    ],
)
def test_odd_texts_are_searched_for_or_refused(alive: TestClient, text: str) -> None:
    answer = alive.post("/v1/search", json={"text": text})
    assert answer.status_code in (200, 422)


def test_a_lone_surrogate_and_numbers_beyond_all_bounds_are_refused(alive: TestClient) -> None:
    kind = {"content-type": "application/json"}
    for body in (
        b'{"text": "\\ud800 boy"}',
        b'{"text": "boy", "limit": 1e400}',
        b'{"text": "boy", "limit": 99999999999999999999999}',
        b'{"text": "boy", "page": -99999999999999999999999}',
        b'{"text": "boy", "filters": {"min_duration": NaN}}',
        b'{"text": "boy", "filters": {"signer": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
    ):
        answer = alive.post("/v1/search", content=body, headers=kind)
        assert answer.status_code in (200, 400, 422), answer.text


def test_a_client_that_leaves_gives_its_place_back(
    served: tuple[FastAPI, SearchService, Encoders], alive: TestClient
) -> None:
    """Twice as many clients as may search at once break off in the middle of their videos."""
    app, service, _ = served

    async def leave() -> None:
        body = b"--x\r\n" + FILE + b"abc"
        messages = [{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: Any) -> None:
            """Nobody listens any more."""

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/search/video",
            "raw_path": b"/v1/search/video",
            "root_path": "",
            "query_string": b"",
            "scheme": "http",
            "http_version": "1.1",
            "client": ("testclient", 1),
            "server": ("test", 80),
            "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
        }
        await app(scope, receive, send)

    for _ in range(2 * SETTINGS.searches_per_client):
        asyncio.run(leave())
    assert not service._clients
