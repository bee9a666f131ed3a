"""The retrieval model learns to find; a run that was killed ends as the undisturbed one does."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from sign_features import DIM

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import CicoError, InputError
from cico_platform.evaluation.evaluate import evaluate
from cico_platform.steps import Summary
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


@pytest.fixture(scope="module")
def trained(
    tiny_corpus: Path, sign_features: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Summary, list[tuple[int, int]]]:
    """A model that a worker of Ray Train trained, its summary, and the progress that was told."""
    out, seen = tmp_path_factory.mktemp("trained") / "model", list[tuple[int, int]]()
    settings = RetrievalSettings(**QUICK)
    summary = train_retrieval(
        tiny_corpus, sign_features, out, settings, on_progress=lambda *p, **_: seen.append(p)
    )
    return out, summary, seen


def test_it_finds_the_sentences_that_it_has_learned_and_is_scored_on_a_split(
    tiny_corpus: Path,
    sign_features: Path,
    trained: tuple[Path, Summary, list[tuple[int, int]]],
    tmp_path: Path,
) -> None:
    out, summary, seen = trained
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


def test_the_same_seed_gives_the_same_weights_on_a_worker_and_in_this_process(
    tiny_corpus: Path,
    sign_features: Path,
    trained: tuple[Path, Summary, list[tuple[int, int]]],
    tmp_path: Path,
) -> None:
    here = RetrievalSettings(**{**QUICK, "run": {"workers": 0, "threads": 1}})
    train_retrieval(tiny_corpus, sign_features, tmp_path / "again", here)
    first, again = (load_retrieval_model(folder).state_dict() for folder in (trained[0], tmp_path / "again"))
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


def test_a_loss_that_is_no_number_ends_the_training_with_advice(
    tiny_corpus: Path, sign_features: Path, tmp_path: Path
) -> None:
    run = {"workers": 0, "threads": 1}
    settings = RetrievalSettings(**{**QUICK, "lr": 1e30, "warmup": 0.0, "run": run})
    with pytest.raises(CicoError, match="lower the learning rate"):
        train_retrieval(tiny_corpus, sign_features, tmp_path / "model", settings)
    assert not (tmp_path / "model").exists()


def test_windows_further_apart_than_the_model_is_told_are_refused(
    tiny_corpus: Path, sign_features: Path, tmp_path: Path
) -> None:
    sparse = tmp_path / "features"
    shutil.copytree(sign_features, sparse)
    info = json.loads((sparse / "features.json").read_text())
    (sparse / "features.json").write_text(json.dumps({**info, "stride": 2}))
    with pytest.raises(InputError, match="--set stride=2"):
        train_retrieval(tiny_corpus, sparse, tmp_path / "out", RetrievalSettings(**QUICK))
