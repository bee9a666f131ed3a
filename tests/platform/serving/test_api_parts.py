"""Searches by a part of a clip or of a video, the values of filters, and feedback, over the real app."""

import asyncio
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from api_in_process import SETTINGS, Encoders, make_service, problem
from fastapi.testclient import TestClient
from tiny_index import SENTENCES

from cico_platform.errors import InputError
from cico_platform.evaluation.feedback import feedback_report
from cico_platform.index.feedback_files import feedback_files, read_lines
from cico_platform.index.search import Searcher
from cico_platform.schemas.feedback import Judgement
from cico_platform.serving.feedback import FeedbackWriter
from cico_platform.serving.filter_values import KEPT_SECONDS, FilterValues
from cico_platform.serving.http import build_app


def results(client: TestClient, **body: object) -> list[dict[str, object]]:
    answer = client.post("/v1/search/clip", json=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def test_a_whole_clip_finds_its_sentence_and_a_part_finds_what_the_part_signs(client: TestClient) -> None:
    for number, sentence in enumerate(SENTENCES):
        first = results(client, video_id=f"clip-{number}", limit=3)[0]
        assert first["text"] == sentence
        assert first["words"]
    clip = client.get("/v1/clips/clip-6").json()
    middle = (clip["end"] - clip["start"]) / 2
    halves = [
        [one["score"] for one in results(client, video_id="clip-6", **part)]
        for part in ({"end": middle}, {"start": middle}, {})
    ]
    assert halves[0] != halves[1] != halves[2] != halves[0]


def test_clips_like_a_part_are_others_and_pages_of_them_fit_together(client: TestClient) -> None:
    body = {"video_id": "clip-2", "find": "clips", "start": 0.0, "end": 1.2}
    whole = results(client, limit=7, **body)
    assert "clip-2" not in {one["video_id"] for one in whole}
    assert len({one["video_id"] for one in whole}) == len(SENTENCES) - 1
    scores = [float(str(one["score"])) for one in whole]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 and one["words"] == [] for score, one in zip(scores, whole, strict=True))
    paged = [one for page in (1, 2, 3, 4) for one in results(client, limit=2, page=page, **body)]
    assert [one["video_id"] for one in paged] == [one["video_id"] for one in whole]
    only = results(client, limit=7, filters={"signer": "B"}, **body)
    assert {one["signer"] for one in only} == {"B"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"video_id": "clip-2", "start": 2.0, "end": 1.0}, 422, "not after its start"),
        ({"video_id": "clip-2", "start": 0.0, "end": 0.01}, 422, "mark a longer part"),
        ({"video_id": "clip-2", "start": 900.0}, 422, "no window of the clip"),
        ({"video_id": "clip-2", "start": -1.0}, 422, "greater than or equal to 0"),
        ({"video_id": "clip-2", "start": "NaN"}, 422, "start"),
        ({"video_id": "none"}, 404, "no clip of this id"),
        ({"video_id": "clip-2", "find": "faces"}, 422, "sentences"),
        ({"video_id": "clip-2", "of": 1}, 422, "Extra inputs"),
    ],
)
def test_a_part_that_cannot_be_searched_with_is_said_so(
    client: TestClient, body: dict[str, object], status: int, said: str
) -> None:
    assert said in problem(client.post("/v1/search/clip", json=body), status)["detail"]


def test_of_a_video_only_the_part_is_searched_with(client: TestClient, folder: Path) -> None:
    data = (folder / "videos" / "clip 2.mp4").read_bytes()

    def ask(**form: object) -> list[float]:
        answer = client.post("/v1/search/video", files={"file": ("v.mp4", data)}, data=form)
        assert answer.status_code == 200, answer.text
        return [one["score"] for one in answer.json()["results"]]

    whole = ask()
    assert ask(start=0) == whole
    assert ask(start=0.5, end=1.7) != whole
    assert ask(start="", end="") == whole
    for form, said in (
        ({"start": 2, "end": 1}, "not after its start"),
        ({"start": 400}, "can't be searched with"),
        ({"end": "inf"}, "end"),
        ({"start": "x"}, "start"),
    ):
        answer = client.post("/v1/search/video", files={"file": ("v.mp4", data)}, data=form)
        assert said in problem(answer, 422)["detail"]


def test_the_values_of_filters_are_told_with_how_many_clips_have_them(client: TestClient) -> None:
    told = client.get("/v1/filters").json()
    assert told["clips"] == len(SENTENCES)
    fields = {
        name: {one["value"]: one["clips"] for one in found["values"]}
        for name, found in told["fields"].items()
    }
    assert fields["signer"] == {"A": 4, "B": 4}
    assert fields["language"] == {"en": 8}
    assert fields["licence"] == {}
    assert not any(found["more"] for found in told["fields"].values())
    for value, count in fields["signer"].items():
        body = {"text": "boy", "limit": 100, "filters": {"signer": value}}
        assert len(client.post("/v1/search", json=body).json()["results"]) == count


def test_values_are_counted_once_a_minute_and_the_commonest_of_many_are_listed(searcher: Searcher) -> None:
    class Many:
        asked = 0

        def facets(self, collection: str, field: str, limit: int) -> dict[str, int]:
            Many.asked += 1
            return {f"s{i:03}": i + 1 for i in range(limit)} if field == "signer" else {}

        def count(self, collection: str) -> int:
            return 7

    now = [0.0]
    values = FilterValues(Many(), "c", lambda: now[0])  # type: ignore[arg-type]

    async def read() -> None:
        first = await values.read()
        asked = Many.asked
        assert await values.read() is first
        assert Many.asked == asked
        now[0] += KEPT_SECONDS
        assert await values.read() is not first
        listed = first.fields["signer"]
        assert listed.more
        assert (len(listed.values), listed.values[0].value) == (100, "s100")

    asyncio.run(read())


def judged(**changed: object) -> dict[str, object]:
    return {
        "kind": "text",
        "query": "the boy",
        "video_id": "clip-1",
        "rank": 2,
        "verdict": "right",
        **changed,
    }


@pytest.fixture
def kept(searcher: Searcher, encoders: Encoders, tmp_path: Path) -> tuple[TestClient, Path]:
    settings = SETTINGS.model_copy(update={"feedback": str(tmp_path / "kept"), "feedback_per_minute": 6.0})
    app = build_app(make_service(searcher, encoders, settings), "0")
    return TestClient(app, raise_server_exceptions=False), tmp_path / "kept"


def test_without_a_folder_no_feedback_is_taken(client: TestClient) -> None:
    assert problem(client.post("/v1/feedback", json=judged()), 404)
    assert client.post("/v1/search", json={"text": "boy"}).json()["takes_feedback"] is False
    assert "/v1/feedback" not in client.get("/openapi.json").json()["paths"]


def test_a_judgement_is_kept_without_anything_personal(kept: tuple[TestClient, Path]) -> None:
    client, folder = kept
    assert client.post("/v1/search", json={"text": "boy"}).json()["takes_feedback"] is True
    headers = {"x-request-id": "mine-8", "user-agent": "secret-agent", "authorization": "Bearer key"}
    answer = client.post("/v1/feedback", json=judged(), headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    video = judged(kind="video", query=None, search="0123456789ab", rank=1, verdict="wrong")
    assert client.post("/v1/feedback", json=video).status_code == 204
    (file,) = feedback_files([folder])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = file.read_text()
    first, second = (json.loads(line) for line in written.splitlines())
    assert (first["query"], first["text"], first["rank"]) == ("the boy", SENTENCES[1], 2)
    assert (second["kind"], second["query"], second["search"]) == ("video", None, "0123456789ab")
    for secret in ("mine-8", "secret-agent", "Bearer", "testclient"):
        assert secret not in written
    report = feedback_report([folder])
    assert (report["used"], report["text"]["P@5"], report["text"]["P@1"]) == (2, 100.0, None)
    assert report["video"]["right"] == 0


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"video_id": "none"}, 404),
        ({"query": None}, 422),
        ({"kind": "video"}, 422),
        ({"verdict": "maybe"}, 422),
        ({"rank": 0}, 422),
        ({"search": "a b"}, 422),
        ({"query": "x" * 5000}, 422),
        ({"more": 1}, 422),
    ],
)
def test_what_is_no_judgement_is_not_kept(
    kept: tuple[TestClient, Path], changed: dict[str, object], status: int
) -> None:
    client, folder = kept
    problem(client.post("/v1/feedback", json=judged(**changed)), status)
    assert list(folder.iterdir()) == []


def test_judgements_come_no_faster_than_the_rate(kept: tuple[TestClient, Path]) -> None:
    client, _ = kept
    answers = [client.post("/v1/feedback", json=judged()) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [204, 204, 204, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "6 judgements" in problem(answers[-1], 429)["detail"]


def test_many_writers_never_mix_up_lines_and_full_files_are_rotated(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"feedback": str(tmp_path), "feedback_bytes": 9000})
    writers = [FeedbackWriter(settings) for _ in range(4)]
    made = [
        Judgement(
            day="2026-01-02",
            collection="c",
            kind="text",
            query=f"{number} " + "w" * 60,
            video_id=f"v{number}",
            text="t",
            rank=1,
            verdict="right",
        )
        for number in range(120)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: writers[i % 4].write(made[i]), range(len(made))))
    files = feedback_files([tmp_path])
    assert len(files) > 1
    assert all(file.stat().st_size <= 9000 for file in files)
    found = []
    for file in files:
        with file.open("rb") as opened:
            found += [line.judgement for line in read_lines(opened)]
    assert sorted(one.video_id for one in found if one) == sorted(one.video_id for one in made)
    for number in range(400):
        writers[0].write(made[number % 120])
    assert len(feedback_files([tmp_path])) == 4  # the oldest goes


def test_a_folder_that_can_not_be_written_to_is_said_so_at_the_start(
    searcher: Searcher, encoders: Encoders, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    settings = SETTINGS.model_copy(update={"feedback": str(tmp_path / "file" / "kept")})
    with pytest.raises(InputError, match="feedback can't be written"):
        build_app(make_service(searcher, encoders, settings), "0")


def test_a_full_disk_keeps_no_half_line(
    kept: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, folder = kept
    assert client.post("/v1/feedback", json=judged()).status_code == 204
    real = os.write
    monkeypatch.setattr("cico_platform.serving.feedback.os.write", lambda to, line: real(to, line[:10]))
    problem(client.post("/v1/feedback", json=judged()), 503)
    monkeypatch.undo()
    assert client.post("/v1/feedback", json=judged()).status_code == 204
    assert feedback_report([folder])["lines"] == 2 - 1 + 1
    assert feedback_report([folder])["unusable"] == {"judged again later": 1}


def test_the_page_may_use_the_camera_and_no_other_may(client: TestClient) -> None:
    policy = client.get("/").headers["permissions-policy"]
    assert "camera=(self)" in policy
    assert "microphone=()" in policy
