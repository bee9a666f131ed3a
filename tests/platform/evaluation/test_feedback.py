"""Feedback is read line by line, told as metrics of judged results, and what can't be used is counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from cico_command import Cico

from cico_platform.errors import InputError
from cico_platform.evaluation.feedback import feedback_report
from cico_platform.index.feedback_files import withdraw


def line(rank: int, verdict: str, **changed: object) -> str:
    said = {
        "day": "2026-02-03",
        "collection": "c",
        "kind": "text",
        "query": "the boy",
        "search": "search-one",
        "video_id": f"v{rank}",
        "text": "a boy",
        "rank": rank,
        "verdict": verdict,
    }
    return json.dumps({**said, **changed}, ensure_ascii=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of the service, with lines of all kinds."""
    first = [
        line(1, "wrong"),
        line(2, "right"),
        line(1, "right"),  # the same result again: the latest counts
        line(7, "wrong"),
        line(1, "wrong", search="search-two", query="girl"),
        line(1, "right", kind="video", query=None, search="search-three"),
        "{ this is no JSON",
        line(1, "perhaps"),
        line(1, "right", kind="video"),  # no video has a query
        json.dumps([1, 2]),
        "x" * 100_000,
        "",
    ]
    (tmp_path / "feedback-a-1.jsonl").write_text("\n".join(first), encoding="utf-8")
    (tmp_path / "feedback-b-2.jsonl").write_bytes(line(3, "right", query="größer").encode() + b"\n\xff\xfe\n")
    (tmp_path / "notes.txt").write_text("not feedback")
    return tmp_path


def test_judgements_become_precision_and_gains_of_their_searches(folder: Path) -> None:
    report = feedback_report([folder])
    assert (report["files"], report["lines"], report["used"]) == (2, 13, 6)
    assert report["unusable"] == {"judged again later": 1, "not a judgement": 6}
    text = report["text"]
    assert (text["searches"], text["judged"], text["right"]) == (2, 5, 3)
    assert text["P@1"] == 50.0  # right in one search, wrong in the other
    assert text["P@5"] == 75.0
    assert text["P@10"] == 60.0
    gained = 1 + 1 / np.log2(3) + 0.5
    assert text["DCG@10"] == pytest.approx(100 * gained / 2, abs=0.01)
    assert text["NDCG@10"] == 100.0  # all that is right came before what is wrong
    assert report["video"] == {
        "searches": 1,
        "judged": 1,
        "right": 1,
        **dict.fromkeys(("P@1", "P@5", "P@10", "DCG@10", "NDCG@10"), 100.0),
    }
    assert "clip" not in report


def test_right_results_below_wrong_ones_gain_less_than_they_could(tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    file.write_text("\n".join([line(1, "wrong"), line(4, "right"), line(12, "right")]))
    text = feedback_report([file])["text"]
    assert text["DCG@10"] == pytest.approx(100 / np.log2(5), abs=0.01)
    assert text["NDCG@10"] == pytest.approx(100 / np.log2(5) / (1 + 1 / np.log2(5)), abs=0.01)


def test_where_there_is_no_feedback_is_said(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "holds no feedback"), (tmp_path / "none", "there is no feedback")):
        with pytest.raises(InputError, match=said):
            feedback_report([path])


def test_withdrawn_clips_leave_the_files_and_the_others_stay(folder: Path) -> None:
    assert withdraw([folder], lambda video_id: video_id == "v1") == (2, 4, 6)
    report = feedback_report([folder])
    assert (report["lines"], report["used"], report["unusable"]) == (3, 3, {})
    left = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.jsonl"))
    assert '"v1"' not in left
    assert "größer" in left
    assert withdraw([folder], lambda video_id: video_id == "v1") == (0, 0, 0)
    assert sorted(file.name for file in folder.iterdir()) == [
        "feedback-a-1.jsonl",
        "feedback-b-2.jsonl",
        "notes.txt",
    ]


def test_the_command_line_tells_feedback_alone_and_what_is_missing(cico: Cico, folder: Path) -> None:
    told = cico("evaluate", "--feedback", folder, "--json")
    assert told.returncode == 0
    assert json.loads(told.stdout)["feedback"] == feedback_report([folder])
    assert "not used: 6 lines (not a judgement)" in told.stderr
    for arguments, said in (((), "name the corpus"), ((folder, "--model", folder), "give --features, --out")):
        ended = cico("evaluate", *arguments)
        assert ended.returncode == 2
        assert said in ended.stderr
