"""The API answers searches, and every wrong request with a problem that says what was wrong."""

import asyncio
import json
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import httpx
import pytest
from api_in_process import SETTINGS, Encoders, problem
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tiny_index import SENTENCES

from cico_platform.serving.service import SearchService
from cico_platform.serving.settings import ServiceSettings


def test_a_sentence_finds_its_clip(client: TestClient) -> None:
    body = client.post("/v1/search", json={"text": SENTENCES[3], "limit": 2}).json()
    best = body["results"][0]
    assert (best["video_id"], best["text"]) == ("clip-3", SENTENCES[3])
    assert [w["word"] for w in best["words"]] == ["the", "girl", "writes", "in", "school"]
    assert len(body["results"]) == 2
    assert body["seconds"] > 0
    assert "path" not in best


def test_a_video_finds_its_sentence(client: TestClient, folder: Path) -> None:
    with (folder / "videos" / "clip 5.mp4").open("rb") as file:
        form = {"limit": "3", "filters": json.dumps({"signer": "B"})}
        body = client.post("/v1/search/video", files={"file": file}, data=form).json()
    assert body["results"][0]["text"] == SENTENCES[5]
    assert {r["signer"] for r in body["results"]} == {"B"}
    assert client.get("/readyz").json()["status"] == "ready"


def test_filters_hold(client: TestClient) -> None:
    body = client.post("/v1/search", json={"text": "boy", "filters": {"signer": ["A"]}}).json()
    assert {r["signer"] for r in body["results"]} == {"A"}
    assert (
        client.post("/v1/search", json={"text": "boy", "filters": {"split": "train"}}).json()["results"] == []
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "?!"}, "empty"),
        ({"text": "x" * 1001}, "1000"),
        ({"text": "x", "limit": 0}, "limit"),
        ({"text": "x", "limit": 101}, "limit"),
        ({"text": "x", "limit": "many"}, "limit"),
        ({"text": "x", "filters": {"colour": "red"}}, "colour"),
        ({"text": "x", "filters": {"signer": ["a"] * 101}}, "signer"),
        ({"text": "x", "filters": {"min_duration": -1}}, "min_duration"),
        ({"text": "x", "more": 1}, "more"),
        ([], "body"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client: TestClient, body: object, says: str) -> None:
    assert says in problem(client.post("/v1/search", json=body), 422)["detail"]


def test_a_body_that_is_no_json_is_a_bad_request(client: TestClient) -> None:
    problem(client.post("/v1/search", content=b"{nope", headers={"content-type": "application/json"}), 400)


def test_what_is_no_video_is_refused_with_the_reason(client: TestClient) -> None:
    for content, says in ((b"dear sir", "can't be searched with"), (b"", "empty")):
        body = problem(client.post("/v1/search/video", files={"file": ("a.mp4", content)}), 422)
        assert says in body["detail"]
    problem(client.post("/v1/search/video", data={"file": "text"}), 422)
    problem(client.post("/v1/search/video", files={"other": b"x"}), 422)
    form = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/v1/search/video", content=b"rubbish", headers=form), 400)
    problem(
        client.post("/v1/search/video", content=b"x", headers={"content-type": "multipart/form-data"}), 400
    )
    for wrong in ("{", '{"a": 1}', "[" * 50_000):
        problem(client.post("/v1/search/video", files={"file": b"x"}, data={"filters": wrong}), 422)
    problem(client.post("/v1/search/video", files={"file": b"x"}, data={"limit": "0"}), 422)


def test_a_video_that_is_too_large_is_refused_whatever_its_length_claims(client: TestClient) -> None:
    problem(client.post("/v1/search/video", files={"file": b"x" * 200_001}), 413)
    problem(client.post("/v1/search/video", files={"file": b"x" * 400_000}), 413)
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(10 << 30)}
    problem(client.post("/v1/search/video", content=b"--x", headers=headers), 413)

    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 10_000

    chunked = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/v1/search/video", content=endless(), headers=chunked), 413)


def test_a_clip_and_its_file_are_given_out_in_ranges(client: TestClient, folder: Path) -> None:
    clip = client.get("/v1/clips/clip-2").json()
    assert clip["text"] == SENTENCES[2]
    whole = (folder / "videos" / "clip 2.mp4").read_bytes()
    response = client.get("/" + clip["media"], headers={"range": "bytes=100-199"})
    assert response.status_code == 206
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert response.content == whole[100:200]
    assert client.get("/" + clip["media"]).content == whole
    assert client.get("/" + clip["media"], headers={"range": f"bytes={len(whole)}-"}).status_code == 416


@pytest.mark.parametrize(
    "bad", ["nobody", "../../etc/passwd", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "a" * 600]
)
def test_only_indexed_files_are_given_out(client: TestClient, bad: str) -> None:
    for path in (f"/v1/clips/{bad}", f"/v1/clips/{bad}/media"):
        assert client.get(path).status_code in (404, 422)


def test_a_file_that_is_gone_is_not_found(client: TestClient, folder: Path) -> None:
    file = folder / "videos" / "clip 6.mp4"
    file.rename(folder / "away.mp4")
    try:
        assert "no longer" in problem(client.get("/v1/clips/clip-6/media"), 404)["detail"]
    finally:
        (folder / "away.mp4").rename(file)


def concurrently(app: FastAPI, count: int) -> list[httpx.Response]:
    async def all_at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked: list[Awaitable[httpx.Response]] = [
                client.post("/v1/search", json={"text": "boy"}) for _ in range(count)
            ]
            return list(await asyncio.gather(*asked))

    return asyncio.run(all_at_once())


def test_one_client_gets_so_many_searches_at_once(served: tuple[FastAPI, SearchService, Encoders]) -> None:
    app, _, encoders = served
    encoders.hold = 0.3
    try:
        responses = concurrently(app, 5)
    finally:
        encoders.hold = 0.0
    codes = sorted(r.status_code for r in responses)
    assert codes == [200, 200, 429, 429, 429]
    refused = next(r for r in responses if r.status_code == 429)
    assert refused.headers["retry-after"]
    assert [r.status_code for r in concurrently(app, 2)] == [200, 200]


def test_an_encoder_that_hangs_is_not_waited_for(served: tuple[FastAPI, SearchService, Encoders]) -> None:
    app, service, encoders = served
    encoders.hold, service.settings = 30, ServiceSettings(text_seconds=0.2)
    began = time.monotonic()
    try:
        assert [r.status_code for r in concurrently(app, 1)] == [503]
    finally:
        encoders.hold, service.settings = 0.0, SETTINGS
    assert time.monotonic() - began < 5


def test_a_failure_shows_no_inside(
    served: tuple[FastAPI, SearchService, Encoders], client: TestClient
) -> None:
    ranking = served[1].ranking
    config, ranking.config = ranking.config, None  # type: ignore[assignment]
    try:
        body = problem(client.post("/v1/search", json={"text": "boy"}), 500)
    finally:
        ranking.config = config
    assert "NoneType" not in json.dumps(body)


def test_every_answer_has_a_request_id_and_a_strict_policy(client: TestClient) -> None:
    response = client.get("/healthz", headers={"x-request-id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    assert client.get("/healthz", headers={"x-request-id": "<script>"}).headers["x-request-id"] != "<script>"
    for path in ("/", "/static/app.js", "/v1/clips/none", "/nowhere"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    problem(client.get("/nowhere"), 404)
    problem(client.get("/v1/search"), 405)


def test_the_page_refers_to_nothing_elsewhere(client: TestClient) -> None:
    for path in (
        "/",
        "/static/app.js",
        "/static/api.js",
        "/static/card.js",
        "/static/style.css",
        "/static/icon.svg",
    ):
        response = client.get(path)
        assert response.status_code == 200
        text = response.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text
    assert client.get("/static/../http.py").status_code == 404


def test_metrics_count_what_was_answered(client: TestClient) -> None:
    client.post("/v1/search", json={"text": "boy"})
    text = client.get("/metrics").text
    assert 'cico_requests_total{route="/v1/search",status="200"}' in text
    assert "cico_index_clips 8.0" in text
    assert 'cico_search_stage_seconds_bucket{kind="text",le="0.005",stage="rank"}' in text


def test_the_api_describes_itself(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for path in (
        "/v1/search",
        "/v1/search/video",
        "/v1/clips/{video_id}",
        "/v1/clips/{video_id}/media",
        "/readyz",
    ):
        assert path in described["paths"]
    assert "multipart/form-data" in described["paths"]["/v1/search/video"]["post"]["requestBody"]["content"]
