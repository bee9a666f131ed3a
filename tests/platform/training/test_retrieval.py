"""The retrieval model learns to find; a run that was killed ends as the undisturbed one does."""

import json
from pathlib import Path

import pytest
import torch
from sign_features import DIM

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import CicoError, InputError
from cico_platform.training.evaluate import evaluate
from cico_platform.training.retrieval import RetrievalSettings, train_retrieval

QUICK = {
    "epochs": 40,
    "batch_size": 8,
    "evaluate_every": 20,
    "lr": 1e-3,
    "augment": 0.0,
    "run": {"threads": 1},
}
pytestmark = pytest.mark.usefixtures("ray_cluster")


def history_of(out: Path) -> list[dict[str, float]]:
    history: list[dict[str, float]] = json.loads((out / "metrics.json").read_text())["history"]
    return history


def test_it_finds_the_sentences_that_it_has_learned_and_is_scored_on_a_split(
    tiny_corpus: Path, sign_features: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    seen: list[tuple[int, int]] = []
    summary = train_retrieval(
        tiny_corpus,
        sign_features,
        out,
        RetrievalSettings(**QUICK),
        on_progress=lambda *p, **_: seen.append(p),
    )
    assert (summary.done, summary.skipped) == (14, 0)
    history = history_of(out)
    assert [row["epoch"] for row in history] == list(range(1, 41))
    assert [row["epoch"] for row in history if "t2v_R@1" in row] == [20, 40]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert summary.details["best_epoch"] in (20, 40)
    assert seen[-1] == (80, 80)  # two batches in each of forty epochs
    model = load_retrieval_model(out)
    assert model.config.feature_dim == DIM

    scored = evaluate(tiny_corpus, sign_features, out, "train", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report == scored.details
    assert {"split", "texts", "videos", "t2v", "v2t", "intervals", "hubness"} <= set(report)
    assert report["videos"] == 14
    for way in ("t2v", "v2t"):
        assert report[way]["R@1"] >= 60  # chance is below 10
        for name, (low, high) in report["intervals"][way].items():
            assert low <= report[way][name] <= high


def test_the_same_seed_gives_the_same_weights(tiny_corpus: Path, sign_features: Path, tmp_path: Path) -> None:
    settings = RetrievalSettings(**{**QUICK, "epochs": 2})
    for name in ("first", "again"):
        train_retrieval(tiny_corpus, sign_features, tmp_path / name, settings)
    first, again = (load_retrieval_model(tmp_path / name).state_dict() for name in ("first", "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_features_and_split_must_fit(tiny_corpus: Path, sign_features: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no features"):
        train_retrieval(tiny_corpus, tmp_path, tmp_path / "a")
    with pytest.raises(InputError, match="--init takes a retrieval model"):
        train_retrieval(tiny_corpus, sign_features, tmp_path / "b", init=tmp_path)
    with pytest.raises(InputError, match="not 'dev'"):
        evaluate(tiny_corpus, sign_features, tmp_path, "dev", tmp_path / "c")
    with pytest.raises(InputError, match="cico train retrieval"):
        evaluate(tiny_corpus, sign_features, tmp_path, "test", tmp_path / "c")


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_training_with_advice(
    tiny_corpus: Path, sign_features: Path, tmp_path: Path
) -> None:
    settings = RetrievalSettings(**{**QUICK, "lr": 1e30, "warmup": 0.0})
    with pytest.raises(CicoError, match="lower the learning rate"):
        train_retrieval(tiny_corpus, sign_features, tmp_path / "model", settings)
    assert not (tmp_path / "model").exists()
