"""The report's figures: intervals that hold the figure, and what scores alone tell."""

import json
from pathlib import Path

import numpy as np
import pytest
from cico_command import Cico
from report_sample import BROKEN, FRAMES, MISSING, PART, write_sample

from cico_platform.corpus.manifest import Clip
from cico_platform.evaluation.evaluate import EvaluationSettings, bootstrap, evaluate, report_of
from cico_platform.training.data.feature_rows import MemoryRows
from cico_platform.training.pairs import Pairs


def pairs(owners: list[int]) -> Pairs:
    texts = [f"text {number}" for number in range(max(owners) + 1)]
    return Pairs(
        [f"v{i}" for i in range(len(owners))],
        MemoryRows([np.ones((1, 2), np.float16)] * len(owners)),
        texts,
        np.array(owners),
    )


def clips(count: int) -> list[Clip]:
    return [Clip(f"v{i}", "t", "test", f"{i}.mp4", "text", "Text") for i in range(count)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return write_sample(tmp_path_factory.mktemp("sample"), steps=3)


def test_a_perfect_model_gets_a_perfect_report_without_hubs() -> None:
    scores = np.eye(30, dtype=np.float32)
    report = report_of(scores, pairs(list(range(30))), clips(30), EvaluationSettings())
    assert (report["texts"], report["videos"]) == (30, 30)
    for way in ("t2v", "v2t"):
        assert report[way] == {"R@1": 100.0, "R@5": 100.0, "R@10": 100.0, "MedR": 1.0, "MeanR": 1.0}
        assert report["intervals"][way]["R@1"] == [100.0, 100.0]
        assert report["gains"][way] == {"DCG@10": 100.0, "interval": [100.0, 100.0]}
        assert report["ranks"][way]["steps"][0] == {"from": 1, "to": 1, "count": 30}
        assert [row["rank"] for row in report["worst"][way]] == [1.0] * 10


def test_where_texts_have_several_videos_all_of_them_are_right() -> None:
    owners = [0, 0, 1, 2]
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.0], [0.8, 0.9, 0.1], [0.1, 0.1, 0.9]], np.float32)
    gains = report_of(scores, pairs(owners), clips(4), EvaluationSettings())["gains"]
    assert gains["t2v"]["DCG@10"] == 100.0  # the best video of each text counts
    first = (1 + 0.5) / (1 + 1 / np.log2(3))
    assert gains["t2v"]["NDCG@10"] == pytest.approx(100 * (first + 2) / 3, abs=0.01)
    assert "NDCG@10" not in gains["v2t"]


def test_the_interval_of_a_share_is_that_of_the_binomial() -> None:
    ranks = np.array([1.0] * 100 + [20.0] * 100)
    low, high = bootstrap(ranks, 4000, np.random.default_rng(0))["R@1"]
    assert low == pytest.approx(50 - 1.96 * 100 * np.sqrt(0.25 / 200), abs=1.0)
    assert high == pytest.approx(50 + 1.96 * 100 * np.sqrt(0.25 / 200), abs=1.0)


def test_a_split_is_scored_and_told_to_people_and_programs(sample: tuple[Path, Path, Path]) -> None:
    corpus, features, model = sample
    out = corpus.parent / "report"
    summary = evaluate(corpus, features, model, "test", out)
    report = json.loads((out / "report.json").read_text())
    assert report == summary.details
    assert summary.done == report["videos"] == sum(s["count"] for s in report["ranks"]["v2t"]["steps"])
    qb_norm = report["hubness"]["corrected"]["qb_norm"]
    assert (qb_norm["uses_query_set"], qb_norm["bank"], qb_norm["videos"]) == (False, "training", 12)
    assert report["published"]["rows"] == []
    page = (out / "report.html").read_text()
    assert "Bo &lt;b&gt;" in page  # a signer's name is text
    assert "Bo <b>" not in page
    shown = [row["query"]["video_id"] for which in ("best", "worst") for row in report[which]["v2t"]]
    assert {PART, FRAMES, MISSING, BROKEN} <= set(shown)
    assert "../corpus%20%26%20more/videos/test-00.mp4#t=0.400,1.200" in page
    assert "test-01.mp4" not in page
    assert "test-02.mp4" not in page
    assert str(corpus.parent) not in page
    assert evaluate(corpus, features, model, "test", out).done == 0


def test_without_a_bank_of_training_videos_the_query_set_is_used_and_labelled(
    sample: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    corpus, features, model = sample
    no_bank = EvaluationSettings(querybank=0, html=False, resamples=10)
    for name, split, settings in (
        ("none", "test", no_bank),
        ("train", "train", EvaluationSettings(html=False, resamples=10)),
    ):
        report = evaluate(corpus, features, model, split, tmp_path / name, settings).details
        assert report["hubness"]["corrected"]["qb_norm"]["uses_query_set"] is True
        assert report["hubness"]["corrected"]["qb_norm"]["bank"] == "query set"
        assert not (tmp_path / name / "report.html").exists()
    stored = EvaluationSettings(html=False, resamples=10, store=str(tmp_path / "stores"))
    assert evaluate(corpus, features, model, "train", tmp_path / "stored", stored).details == report
    assert len(list((tmp_path / "stores").glob("features-*.store-*"))) == 1
    small = EvaluationSettings(querybank=5, html=False, resamples=10)
    found = evaluate(corpus, features, model, "test", tmp_path / "small", small).details
    assert found["hubness"]["corrected"]["qb_norm"]["videos"] == 5
    assert found["hubness"]["corrected"]["qb_norm"]["of_videos"] == 12


def test_the_verb_says_where_the_report_is(
    cico: Cico, sample: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    corpus, features, model = sample
    places = [corpus, "--features", features, "--model", model]
    for option, name in (("--html", "report.html"), ("--no-html", "report.json")):
        out = tmp_path / f"[bold]{option}"
        found = cico("evaluate", *places, "--out", out, option, "--json")
        assert found.returncode == 0, found.stderr
        (line,) = found.stdout.splitlines()
        assert json.loads(line)["published"]["rows"] == []
        assert f"report: {out / name}" in found.stderr
        assert (out / name).is_file()
        assert (out / "report.html").is_file() == (option == "--html")
