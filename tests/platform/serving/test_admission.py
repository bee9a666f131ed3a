"""The service takes only so many searches in hand; what comes beyond is refused at once, not later."""

import asyncio

import httpx
from api_in_process import SETTINGS, Encoders, make_service, problem
from tiny_index import SENTENCES

from cico_platform.index.search import Searcher
from cico_platform.serving.http import build_app

PLACES, ASKED = 3, 9


def test_searches_beyond_the_places_are_refused_while_the_others_are_answered(
    searcher: Searcher, encoders: Encoders
) -> None:
    settings = SETTINGS.model_copy(update={"searches": PLACES, "searches_per_client": ASKED})
    app = build_app(make_service(searcher, encoders, settings), "0")

    async def ask_all() -> tuple[list[httpx.Response], httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            search = [client.post("/v1/search", json={"text": SENTENCES[1]}) for _ in range(ASKED - 1)]
            align = client.post("/v1/align", json={"text": SENTENCES[1], "video_id": "clip-1"})
            answers = await asyncio.gather(*search, align)
            return list(answers), await client.post("/v1/search", json={"text": SENTENCES[1]})

    encoders.hold = 0.5
    try:
        answers, after = asyncio.run(ask_all())
    finally:
        encoders.hold = 0.0
    assert sorted(answer.status_code for answer in answers) == [200] * PLACES + [503] * (ASKED - PLACES)
    for answer in answers:
        if answer.status_code == 503:
            assert "try again" in problem(answer, 503)["detail"]
            assert int(answer.headers["retry-after"]) > 0
    assert after.json()["results"][0]["video_id"] == "clip-1"
