"""The API pages, aligns, lists collections, keeps to its limits, and says how likely a result is right."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from api_in_process import SETTINGS, Encoders, make_service, problem
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tiny_index import SENTENCES

from cico_model.calibration import Calibration
from cico_platform.index.base import open_index
from cico_platform.index.clips import IndexedClip
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import ServingInfo, live_serving, read_serving, write_serving
from cico_platform.serving.collections import list_collections
from cico_platform.serving.http import build_app
from cico_platform.serving.service import SearchService

# As if scores above 0.5 were right: every sentence of the tiny index is known by heart.
KNOWN = Calibration(slope=20, intercept=-10, threshold=0.4, precision=0.9, recall=0.8, queries=40)


@pytest.fixture
def calibrated(searcher: Searcher, encoders: Encoders) -> TestClient:
    service = make_service(searcher, encoders, calibrations={"text": KNOWN})
    return TestClient(build_app(service, "0"))


def ids(body: dict[str, Any]) -> list[str]:
    return [row["video_id"] for row in body["results"]]


def test_pages_give_every_clip_once_in_the_order_of_one_long_page(client: TestClient) -> None:
    whole = client.post("/v1/search", json={"text": "boy", "limit": 8}).json()
    assert whole["next_page"] is None
    found, page = [], 1
    while page:
        body = client.post("/v1/search", json={"text": "boy", "limit": 3, "page": page}).json()
        assert body["page"] == page
        found, page = found + ids(body), body["next_page"]
    assert found == ids(whole)
    assert sorted(found) == [f"clip-{number}" for number in range(8)]
    assert client.post("/v1/search", json={"text": "boy", "page": 9}).json()["results"] == []


def test_a_page_too_deep_is_refused(client: TestClient, folder: Path) -> None:
    body = {"text": "boy", "limit": 100, "page": 6}
    assert "too deep" in problem(client.post("/v1/search", json=body), 422)["detail"]
    form = {"limit": "100", "page": "6"}
    answer = client.post("/v1/search/video", files={"file": b"x"}, data=form)
    assert "too deep" in problem(answer, 422)["detail"]


def test_pages_of_what_maxsim_ranks_low_neither_repeat_nor_miss_clips(searcher: Searcher) -> None:
    """With a second stage that keeps two, pages of two are the exact ranking of each two of MaxSim's."""
    from cico_platform.encoding.texts import encode_texts
    from cico_platform.index.ranking import Ranking, Stages

    ranking = Ranking(searcher.index, searcher.info.collection, searcher.model.config, Stages(rerank=2))
    query = encode_texts(searcher.model, ["the boy writes"])[0]
    found = [one for offset in range(0, 8, 2) for one in ranking.by_text(query, 2, None, offset)]
    assert sorted(one.hit.video_id for one in found) == [f"clip-{number}" for number in range(8)]
    for first in range(0, 8, 2):
        assert found[first].score >= found[first + 1].score


def test_aligning_an_indexed_clip_gives_spans_and_both_maps(client: TestClient) -> None:
    body = client.post("/v1/align", json={"text": SENTENCES[3], "video_id": "clip-3"}).json()
    found = client.post("/v1/search", json={"text": SENTENCES[3], "limit": 1}).json()["results"][0]
    assert body["words"] == found["words"]
    assert body["score"] == pytest.approx(found["score"], abs=1e-5)
    assert body["map_words"] == ["the", "girl", "writes", "in", "school"]
    there, back = np.array(body["text_to_video"]), np.array(body["video_to_text"])
    assert there.shape == (5, len(body["windows"])) == back.T.shape
    np.testing.assert_allclose(there.sum(axis=1), 1, atol=1e-3)
    assert (back.sum(axis=1) <= 1 + 1e-3).all()
    assert back.sum(axis=1).max() > 0.2
    for word, row in zip(body["words"], there, strict=True):
        peak = body["windows"][int(row.argmax())]
        assert word["start"] < (peak["start"] + peak["end"]) / 2 < word["end"] + 1e-6


def test_aligning_an_uploaded_video_gives_its_own_times(client: TestClient, folder: Path) -> None:
    with (folder / "videos" / "clip 5.mp4").open("rb") as file:
        body = client.post("/v1/align/video", files={"file": file}, data={"text": SENTENCES[5]}).json()
    indexed = client.post("/v1/align", json={"text": SENTENCES[5], "video_id": "clip-5"}).json()
    assert body["video_id"] is None
    assert [w["word"] for w in body["words"]] == [w["word"] for w in indexed["words"]]
    for mine, theirs in zip(body["words"], indexed["words"], strict=True):
        assert mine["start"] == pytest.approx(theirs["start"], abs=0.1)
    assert len(body["windows"]) == len(indexed["windows"])
    problem(client.post("/v1/align/video", files={"file": b"x"}), 422)
    problem(client.post("/v1/align/video", files={"file": b"x"}, data={"text": "boy", "limit": "3"}), 422)
    problem(client.post("/v1/align", json={"text": "boy", "video_id": "nobody"}), 404)
    assert (
        "empty" in problem(client.post("/v1/align", json={"text": "?!", "video_id": "clip-1"}), 422)["detail"]
    )


@pytest.mark.parametrize("text", ["&amp;nbsp;", "\ufeff", "\u3164", "\u200b\u00ad"])
def test_a_text_that_nobody_sees_is_refused_in_a_sentence(client: TestClient, text: str) -> None:
    for path, body in (("/v1/search", {}), ("/v1/align", {"video_id": "clip-1"})):
        assert "the text is empty" in problem(client.post(path, json={"text": text, **body}), 422)["detail"]


def test_a_calibrated_collection_says_how_likely_a_result_is_right(calibrated: TestClient) -> None:
    body = calibrated.post("/v1/search", json={"text": SENTENCES[0], "limit": 8}).json()
    for row in body["results"]:
        assert row["probability"] == pytest.approx(KNOWN.probability(row["score"]), abs=1e-3)
    assert body["nothing_fits"] is (body["results"][0]["probability"] < 0.4)
    aligned = calibrated.post("/v1/align", json={"text": SENTENCES[0], "video_id": "clip-0"}).json()
    assert aligned["probability"] == body["results"][0]["probability"]


def test_nothing_fits_when_even_the_best_is_below_the_threshold(
    searcher: Searcher, encoders: Encoders
) -> None:
    for intercept, wanted in ((-100.0, True), (100.0, False)):
        known = {"text": replace(KNOWN, intercept=intercept)}
        app = build_app(make_service(searcher, encoders, calibrations=known), "0")
        body = TestClient(app).post("/v1/search", json={"text": "boy"}).json()
        assert body["nothing_fits"] is wanted
        none = (
            TestClient(app).post("/v1/search", json={"text": "boy", "filters": {"signer": "nobody"}}).json()
        )
        assert none["nothing_fits"] is True


def test_without_calibration_no_probability_is_claimed(client: TestClient) -> None:
    body = client.post("/v1/search", json={"text": "boy"}).json()
    assert body["nothing_fits"] is None
    assert {row["probability"] for row in body["results"]} == {None}


def test_the_live_collection_is_listed(client: TestClient) -> None:
    (one,) = client.get("/v1/collections").json()["collections"]
    assert (one["name"], one["live"], one["clips"]) == ("clips-1", True, 8)
    assert (one["corpus"], one["dim"], one["encoders"], one["model"]) == ("tiny", 32, 1, "model")
    assert one["thresholds"] == {}


def test_kept_collections_are_listed_with_their_thresholds_and_deleted_ones_are_not(server_url: str) -> None:
    with open_index(server_url) as index:
        for number in (1, 2, 3):
            name, known = f"clips-{number}", {"text": KNOWN} if number == 2 else {}
            index.create(name, 2)
            index.upsert(name, [IndexedClip(f"a{i}", np.eye(2, dtype=np.float32)) for i in range(number)])
            info = ServingInfo(name, 2, f"/models/m{number}", ("/e",), 1.0, "c", calibrations=known)
            write_serving(index, info)
            assert read_serving(index, name).calibrations == known
        index.alias("clips", "clips-3")
        index.delete("clips-1")
        listed = list_collections(index, live_serving(index).collection)
    assert [(one.name, one.live, one.clips, one.model) for one in listed] == [
        ("clips-3", True, 3, "m3"),
        ("clips-2", False, 2, "m2"),
    ]
    assert listed[1].thresholds["text"].precision == 0.9
    assert listed[1].thresholds["text"].probability == 0.4


def test_bodies_that_are_no_videos_are_read_up_to_a_limit(client: TestClient) -> None:
    large = b'{"text": "' + b"x" * (300 << 10) + b'"}'
    kind = {"content-type": "application/json"}
    assert "larger" in problem(client.post("/v1/search", content=large, headers=kind), 413)["detail"]

    def endless() -> Iterator[bytes]:
        for _ in range(400):
            yield b" " * 1024

    problem(client.post("/v1/search", content=endless(), headers=kind), 413)
    form = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/v1/search", content=endless(), headers=form), 413)
    claims = {**kind, "content-length": "9" * 4000}
    problem(client.post("/v1/search", content=b"{}", headers=claims), 413)


def test_a_body_that_drips_is_given_up(searcher: Searcher, encoders: Encoders) -> None:
    quick = SETTINGS.model_copy(update={"upload_seconds": 0.3})
    app = build_app(make_service(searcher, encoders, quick), "0")

    async def dripping() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.05)

    async def ask(path: str, kind: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as asking:
            return await asking.post(path, content=dripping(), headers={"content-type": kind})

    for path, kind in (
        ("/v1/search", "application/json"),
        ("/v1/search/video", "multipart/form-data; boundary=x"),
    ):
        problem(asyncio.run(ask(path, kind)), 408)


def test_a_ranking_that_takes_too_long_is_not_waited_for_but_still_counts(
    searcher: Searcher, encoders: Encoders
) -> None:
    short = SETTINGS.model_copy(update={"rank_seconds": 0.3, "rankings": 1})
    service = make_service(searcher, encoders, short)

    async def both() -> bool:
        for _ in range(2):
            with pytest.raises(Exception, match="too much to do"):
                await service._rank("text", time.sleep, 2.0)
        return service._rankings.locked()

    assert asyncio.run(both()), "the first still runs: nobody waited for it"


def test_every_request_is_logged_with_its_id_and_its_client(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ray.serve.cico"):
        client.get("/v1/clips/clip-1", headers={"x-request-id": "mine-7"})
    assert "GET /v1/clips/{video_id:path} 200" in caplog.text
    assert "request mine-7 of testclient" in caplog.text


def test_filters_of_all_kinds_hold_and_path_tricks_in_them_find_nothing(client: TestClient) -> None:
    found = client.post(
        "/v1/search",
        json={
            "text": "boy",
            "limit": 100,
            "filters": {
                "corpus": "tiny",
                "language": ["en", "de"],
                "sign_language": "drawn",
                "signer": ["A", "B"],
                "split": "test",
                "min_duration": 0.1,
                "max_duration": 1000,
            },
        },
    ).json()
    assert len(found["results"]) == 8
    for trick in ("../../etc/passwd", "A' OR 1=1", "\u0000", "{}", "http://127.0.0.1/"):
        body = client.post("/v1/search", json={"text": "boy", "filters": {"signer": trick}}).json()
        assert body["results"] == []
    assert (
        client.post("/v1/search", json={"text": "boy", "filters": {"licence": "CC0"}}).json()["results"] == []
    )


def test_the_api_describes_all_of_it(served: tuple[FastAPI, SearchService, Encoders]) -> None:
    described = TestClient(served[0]).get("/openapi.json").json()
    assert {"/v1/align", "/v1/align/video", "/v1/collections"} <= set(described["paths"])
    refused = described["paths"]["/v1/search"]["post"]["responses"]
    assert {"408", "413", "422", "429", "503"} <= set(refused)
    assert set(refused["422"]["content"]) == {"application/problem+json"}
    assert "securitySchemes" not in described.get("components", {})
