"""A sentence is found in a long video over HTTP, within limits; short videos do not wait for all of it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from api_in_process import SETTINGS, Encoders, make_service, problem
from fastapi.testclient import TestClient
from tiny_index import SENTENCES, draw_signer, write_long_video, write_video

from cico_platform.encoding.texts import TextQuery, encode_texts
from cico_platform.index.inside import Inside
from cico_platform.index.search import Searcher
from cico_platform.serving.http import build_app
from cico_platform.serving.keys import add_key
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.video_encoder import VideoEncoder
from cico_platform.serving.video_file import VideoFile

ROOMY = SETTINGS.model_copy(update={"upload_bytes": 4 << 20, "searches_per_client": 8})
ASKED = (1, 2, 3)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[int, tuple[float, float]]]:
    """All sentences in one file, and when each is signed."""
    folder = tmp_path_factory.mktemp("long")
    when = write_long_video(folder / "long.mp4")
    return (folder / "long.mp4").read_bytes(), when


@pytest.fixture
def roomy(searcher: Searcher, encoders: Encoders) -> TestClient:
    return TestClient(build_app(make_service(searcher, encoders, ROOMY), "0"), raise_server_exceptions=False)


def ask(client: TestClient, data: bytes, headers: dict[str, str] | None = None, **form: str) -> Any:
    return client.post("/v1/search/inside", files={"file": ("long.mp4", data)}, data=form, headers=headers)


def test_a_sentence_is_found_at_the_time_at_which_it_is_signed(
    roomy: TestClient, long: tuple[bytes, dict[int, tuple[float, float]]]
) -> None:
    data, when = long
    found = 0
    for number in ASKED:
        start, end = when[number]
        answer = ask(roomy, data, text=SENTENCES[number], limit="3")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["request_id"] == answer.headers["x-request-id"]
        assert body["text"] == SENTENCES[number]
        assert body["read_seconds"] == pytest.approx(max(end for _, end in when.values()), abs=0.1)
        ranges = body["ranges"]
        assert 1 <= len(ranges) <= 3
        assert [one["score"] for one in ranges] == sorted((one["score"] for one in ranges), reverse=True)
        best = ranges[0]
        assert best["words"]
        assert all(best["start"] <= w["start"] < w["end"] <= best["end"] for w in best["words"])
        shared = min(end, best["end"]) - max(start, best["start"])
        found += shared > 0.5 * (best["end"] - best["start"])
    assert found >= 2  # of three; by chance less than one


def test_what_can_not_be_searched_in_is_refused_and_said_why(
    roomy: TestClient, encoders: Encoders, long: tuple[bytes, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "can't be searched in" in problem(ask(roomy, b"dear sir", text="boy"), 422)["detail"]
    assert "larger than 4 MiB" in problem(ask(roomy, bytes(5 << 20), text="boy"), 413)["detail"]
    assert "text" in problem(ask(roomy, long[0]), 422)["detail"]
    assert "the text is empty" in problem(ask(roomy, long[0], text="!?"), 422)["detail"]
    for wrong in ("0", "101", "many"):
        assert "limit" in problem(ask(roomy, long[0], text="boy", limit=wrong), 422)["detail"]
    assert "page" in problem(ask(roomy, long[0], text="boy", page="2"), 422)["detail"]
    problem(roomy.post("/v1/search/inside", data={"text": "boy"}), 422)
    monkeypatch.setattr(encoders, "longest", 12.0)
    assert "longer than the 0.2 minutes" in problem(ask(roomy, long[0], text="boy"), 422)["detail"]


def test_the_route_needs_a_key_where_keys_are_needed(
    searcher: Searcher, encoders: Encoders, tmp_path: Path, long: tuple[bytes, Any]
) -> None:
    _, key = add_key(tmp_path / "keys.json", "archive")
    settings = ROOMY.model_copy(update={"keys": str(tmp_path / "keys.json")})
    client = TestClient(build_app(make_service(searcher, encoders, settings), "0"))
    problem(ask(client, long[0], text="boy"), 401)
    assert ask(client, long[0], {"x-api-key": key}, text="boy", limit="1").status_code == 200
    described = client.get("/openapi.json").json()["paths"]["/v1/search/inside"]["post"]
    assert {"401", "413", "422", "429", "503"} <= set(described["responses"])
    sent = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert sent["required"] == ["file", "text"]
    assert described["security"] == [{"key": []}]


def test_one_long_video_at_a_time_is_read_few_wait_and_none_for_ever(
    searcher: Searcher, encoders: Encoders
) -> None:
    settings = ROOMY.model_copy(update={"inside_queue": 1, "video_seconds": 1.0})
    service = make_service(searcher, encoders, settings)
    reading, most = 0, 0

    async def endless(video: VideoFile, query: TextQuery, limit: int) -> Inside | str:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        try:
            await asyncio.Event().wait()
        finally:
            reading -= 1
        raise AssertionError

    service.encoders = replace(service.encoders, look_inside=endless)

    async def three() -> list[Any]:
        asked = [service.inside("boy", VideoFile("any", 1), 1) for _ in range(3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(three())
    assert all(isinstance(one, ProblemError) and one.status == 503 for one in answers)
    said = [str(one) for one in answers]
    assert sum("other long videos are waiting" in one for one in said) == 1
    assert sum("send a part of it" in one for one in said) == 2
    assert (reading, most) == (0, 1), "whoever is given up stops reading"


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of several stretches."""
    folder = tmp_path_factory.mktemp("longer")
    write_video(
        folder / "longer.mp4",
        [f for n in 2 * tuple(range(len(SENTENCES))) for f in draw_signer(SENTENCES[n], n)],
    )
    return (folder / "longer.mp4").read_bytes()


def test_a_short_video_does_not_wait_for_all_of_a_long_one(
    searcher: Searcher, folder: Path, longer: bytes
) -> None:
    encoder = VideoEncoder(searcher.info)
    (query,) = encode_texts(searcher.model, [SENTENCES[1]])
    short = (folder / "videos" / "clip 1.mp4").read_bytes()
    ended: list[str] = []

    async def note(name: str, answer: Any) -> Any:
        found = await answer
        ended.append(name)
        return found

    async def both() -> tuple[Any, Any]:
        asked = encoder.look_inside(longer, query, 3, 60.0, searcher.info)
        looked = asyncio.create_task(note("long", asked))
        await asyncio.sleep(0.2)
        return await note("short", encoder.encode(short, searcher.info)), await looked

    video, found = asyncio.run(both())
    assert ended == ["short", "long"]
    assert len(video.tokens) > 0
    assert len(found.ranges) == 3
    refused = asyncio.run(encoder.look_inside(longer, query, 3, 30.0, searcher.info))
    assert isinstance(refused, str)
    assert "longer than the 0.5 minutes" in refused


def test_a_long_video_that_nobody_waits_for_is_not_read_to_its_end(
    searcher: Searcher, longer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = VideoEncoder(searcher.info)
    (query,) = encode_texts(searcher.model, ["boy"])
    (network,) = encoder.models.of(searcher.info).encoders.encoders
    chunks: list[int] = []
    encode = network.encode

    def counted(*arguments: Any) -> Any:
        chunks.append(1)
        return encode(*arguments)

    monkeypatch.setattr(network, "encode", counted)

    async def leave() -> None:
        looked = asyncio.create_task(encoder.look_inside(longer, query, 1, 60.0, searcher.info))
        while not chunks:
            await asyncio.sleep(0.01)
        looked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looked

    asyncio.run(leave())
    encoder._worker.shutdown(wait=True)
    assert len(chunks) == 1  # of four
