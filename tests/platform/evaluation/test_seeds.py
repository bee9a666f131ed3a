"""Several seeds are trained one after another, each once, and told with their spread."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import InputError
from cico_platform.evaluation.evaluate import evaluate
from cico_platform.evaluation.ranks import spread
from cico_platform.evaluation.seeds import train_seeds
from cico_platform.training.retrieval import RetrievalSettings, train_retrieval

QUICK = {"epochs": 3, "batch_size": 8, "evaluate_every": 3, "lr": 1e-3, "run": {"workers": 0, "threads": 1}}


def test_the_spread_of_one_seed_is_that_of_its_queries() -> None:
    ranks = np.array([1.0] * 100 + [20.0] * 100)
    found = spread([{"t2v": ranks, "v2t": ranks}], resamples=4000)["t2v"]["R@1"]
    half = 196 * np.sqrt(0.25 / 200)
    assert (found["mean"], found["sd"]) == (50.0, None)
    assert found["interval"] == pytest.approx([50 - half, 50 + half], abs=1.0)


def test_seeds_that_differ_widen_the_interval_and_seeds_that_agree_do_not() -> None:
    rng = np.random.default_rng(0)
    same = np.where(rng.random(400) < 0.5, 1.0, 8.0)
    good, bad = np.where(rng.random((2, 400)) < np.array([[0.8], [0.2]]), 1.0, 8.0)
    found = {
        name: spread([{"t2v": ranks, "v2t": ranks} for ranks in seeds])["v2t"]["R@1"]
        for name, seeds in {"agree": (same, same, same), "differ": (good, bad, good, bad)}.items()
    }
    widths = {name: high - low for name, (low, high) in ((n, f["interval"]) for n, f in found.items())}
    assert found["agree"]["sd"] == 0.0
    assert widths["agree"] == pytest.approx(2 * 196 * np.sqrt(0.25 / 400), abs=1.5)
    means = [100 * float((good == 1).mean()), 100 * float((bad == 1).mean())] * 2
    assert found["differ"]["mean"] == pytest.approx(np.mean(means), abs=0.01)
    assert found["differ"]["sd"] == pytest.approx(np.std(means, ddof=1), abs=0.01)
    assert widths["differ"] > 4 * widths["agree"]


@pytest.mark.usefixtures("ray_cluster")
def test_each_seed_is_a_step_of_its_own_and_the_validation_split_chooses(
    tiny_corpus: Path, sign_features: Path, tmp_path: Path
) -> None:
    settings = RetrievalSettings(**QUICK, seed=4)
    out = tmp_path / "seeds"
    train_retrieval(tiny_corpus, sign_features, out / "seed-5", settings.model_copy(update={"seed": 5}))
    before = (out / "seed-5" / "step.json").read_bytes()
    seen: list[tuple[int, int]] = []
    summary = train_seeds(
        tiny_corpus, sign_features, out, settings, 2, None, "test", lambda *p, **_: seen.append(p)
    )
    assert (summary.done, summary.skipped) == (14, 14), "the second seed was there"
    assert (out / "seed-5" / "step.json").read_bytes() == before
    kept = json.loads((out / "seeds.json").read_text())
    assert [row["seed"] for row in kept["seeds"]] == [4, 5]
    assert all(total == seen[0][1] for _, total in seen)
    one, other = (load_retrieval_model(out / f"seed-{seed}").state_dict() for seed in (4, 5))
    assert not torch.equal(one["video.input.weight"], other["video.input.weight"])
    for split in ("validation", "test"):
        for row in kept["seeds"]:
            report = evaluate(tiny_corpus, sign_features, out / row["model"], split, tmp_path / "report")
            assert row[split] == {way: report.details[way] for way in ("t2v", "v2t")}
        means = [row[split]["t2v"]["R@5"] for row in kept["seeds"]]
        assert kept["spread"][split]["t2v"]["R@5"]["mean"] == pytest.approx(np.mean(means), abs=0.02)
        assert kept["spread"][split]["t2v"]["R@5"]["sd"] == pytest.approx(np.std(means, ddof=1), abs=0.02)
    scores = {
        row["model"]: sum(row["validation"][way]["R@1"] for way in ("t2v", "v2t")) for row in kept["seeds"]
    }
    assert scores[kept["best"]] == max(scores.values())

    again = train_seeds(tiny_corpus, sign_features, out, settings, 2, None, "test")
    assert (again.done, again.skipped, again.details) == (0, 28, summary.details)


@pytest.mark.usefixtures("ray_cluster")
def test_a_folder_of_one_model_and_a_split_that_is_none_are_refused(
    tiny_corpus: Path, sign_features: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "step.json").write_text("{}")
    with pytest.raises(InputError, match="holds a single model"):
        train_seeds(tiny_corpus, sign_features, tmp_path / "model", RetrievalSettings(), 2)
    with pytest.raises(InputError, match="not 'dev'"):
        train_seeds(tiny_corpus, sign_features, tmp_path / "x", RetrievalSettings(), 2, None, "dev")
