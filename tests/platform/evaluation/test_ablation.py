"""An ablation trains each variant with each seed once, and puts them into one table."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.config_files import read_config
from cico_platform.errors import CicoError, InputError
from cico_platform.evaluation.ablation import AblationSettings, ablate
from cico_platform.evaluation.ablation_grid import Grid, Part, default_grid, read_grid, variants
from cico_platform.evaluation.ablation_table import as_latex, as_markdown, as_table
from cico_platform.evaluation.evaluate import evaluate
from cico_platform.training.retrieval import RetrievalSettings

# Each trial is a process of its own; its training needs no further ones.
RUN = {"workers": 0, "threads": 1}
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 8, "evaluate_every": 3, "lr": 1e-3, "run": RUN}
INPUTS = {"features": "abc"}


def figures(mean: float) -> dict[str, Any]:
    return {
        name: {"mean": mean, "sd": 1.25, "interval": [mean - 2, mean + 2]}
        for name in ("R@1", "R@5", "R@10", "MedR", "MeanR")
    }


RESULT: dict[str, Any] = {
    "split": "test",
    "seeds": [0, 1, 2],
    "queries": {"t2v": 40, "v2t": 50},
    "chosen": "b",
    "rows": [
        {
            "section": "Parts",
            "key": "a",
            "title": "Base | 50% & more",
            "test": {"t2v": figures(31.5), "v2t": figures(26)},
        },
        {
            "section": "One change",
            "key": "b",
            "title": "augment_kind = swap",
            "test": {"t2v": figures(56.6), "v2t": figures(51.6)},
        },
    ],
}


def test_the_default_grid_builds_the_method_up_and_changes_it_one_setting_at_a_time() -> None:
    full = RetrievalSettings(noise=0.25)
    rows = variants(default_grid(), full, INPUTS, alpha=0.8)
    parts = [row.settings for row in rows if row.section == "Parts of the method"]
    assert [(p.pooling, p.alpha, p.augment) for p in parts] == [
        ("mean", 1.0, 0.0), ("mean", 0.8, 0.0), ("fine", 0.8, 0.0), ("fine", 0.8, 0.5),
    ]  # fmt: skip
    whole = rows[3]
    same = [row.title for row in rows if row.key == whole.key]
    assert same == [
        whole.title, "pooling = fine", "alpha = 0.8", "stride = 1", "temperature = 0.07",
        "design = balance", "augment_kind = swap",
    ]  # fmt: skip
    assert all(row.settings.noise == 0.25 for row in rows)
    for row in rows[4:]:
        changed = set(row.settings.decisive().items()) - set(whole.settings.decisive().items())
        assert len(changed) == (row.key != whole.key)
    assert default_grid(stride=2).vary["stride"] == [2, 4]
    one = variants(default_grid(encoders=1), full, INPUTS, alpha=1.0)
    assert {row.settings.alpha for row in one} == {1.0}


def test_rows_that_differ_in_anything_but_the_seed_are_trained_apart() -> None:
    grid = Grid(parts=(Part(title="full"),))

    def key(inputs: dict[str, str] = INPUTS, **changes: Any) -> str:
        return variants(grid, RetrievalSettings(**changes), inputs, alpha=0.8)[0].key

    assert key() == key(seed=7) == key(alpha=0.8) == key(run={"threads": 2})
    assert len({key(), key(lr=1e-2), key(stride=2), key(inputs={"features": "def"})}) == 4


def test_a_grid_is_read_from_a_file_and_crosses_settings(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text("parts:\n- title: whole\ncross:\n  alpha: [0.5, 1.0]\n  stride: [1, 2]\n")
    rows = variants(read_grid(read_config(file)), RetrievalSettings(), INPUTS, alpha=0.8)
    assert [row.title for row in rows] == [
        "whole", "alpha = 0.5, stride = 1", "alpha = 0.5, stride = 2", "alpha = 1.0, stride = 1",
        "alpha = 1.0, stride = 2",
    ]  # fmt: skip
    for text, said in (
        ("vary:\n  alpha: 3\n", r"setting 'vary.alpha' \('.*grid.yaml', line 2\)"),
        ("varies: {}\n", "did you mean 'vary'"),
        ("# nothing\n", "names no variant"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            read_grid(read_config(file))
    with pytest.raises(InputError, match=r"setting 'temprature' \(row 'temprature = 1'\).*'temperature'"):
        variants(Grid(vary={"temprature": [1]}), RetrievalSettings(), INPUTS, alpha=1.0)
    many = Grid(cross={"lr": [0.1] * 100, "stride": [1] * 100})
    with pytest.raises(InputError, match="10000 variants"):
        variants(many, RetrievalSettings(), INPUTS, alpha=1.0)


def test_the_table_says_the_same_in_markdown_latex_and_on_the_terminal() -> None:
    from rich.console import Console

    markdown = as_markdown(RESULT)
    assert "| Base \\| 50% & more | 31.5 ± 1.2<br>29.5–33.5 |" in markdown
    assert "| augment\\_kind = swap \\* | 56.6 ± 1.2<br>54.6–58.6 |" in markdown
    assert {line.count(" | ") for line in markdown.splitlines() if line.startswith("| ")} == {8}
    latex = as_latex(RESULT)
    assert r"Base | 50\% \& more & 31.5$\,\pm\,$1.2 & " in latex
    assert r"augment\_kind = swap * & 56.6$\,\pm\,$1.2" in latex
    assert r"{\scriptsize 54.6--58.6}" in latex
    rows = [line for line in latex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.replace(r"\&", "").count(" & ") for line in rows} == {8}
    console = Console(width=80, file=io.StringIO())
    console.print(as_table(RESULT))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert "56.6" in shown
    assert "40 texts, 50 videos, 3 seeds each" in shown


@pytest.mark.usefixtures("ray_cluster")
def test_variants_are_trained_as_they_say_and_scored_on_the_split(
    tiny_corpus: Path, two_encoders_features: Path, tmp_path: Path
) -> None:
    parts = (Part(title="class, first encoder", set={"pooling": "class", "alpha": 1.0}),)
    grid = Grid(parts=parts, vary={"stride": [12]})
    seen: list[tuple[int, int]] = []
    terminal = threading.RLock()  # a bar holds one: it can't be pickled

    def advance(done: int, total: int, /, **_: Any) -> None:
        with terminal:
            seen.append((done, total))

    summary = ablate(
        tiny_corpus,
        two_encoders_features,
        tmp_path / "out",
        RetrievalSettings(**QUICK),
        grid,
        AblationSettings(seeds=1),
        on_progress=advance,
    )
    assert (summary.done, summary.skipped) == (2, 0)
    assert seen == [(0, 2), (1, 2), (2, 2)]
    kept = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert kept == json.loads(json.dumps(summary.details))
    assert [row["changes"] for row in kept["rows"]] == [
        {"pooling": "class", "alpha": 1.0},
        {"alpha": 0.25, "stride": 12},
    ]
    models = [tmp_path / "out" / row["models"][0] for row in kept["rows"]]
    configs = [load_retrieval_model(model).config for model in models]
    assert [(c.pooling, c.window_stride) for c in configs] == [("class", 1), ("fine", 12)]
    for row, model in zip(kept["rows"], models, strict=True):
        report = evaluate(tiny_corpus, two_encoders_features, model, "test", tmp_path / "report")
        for way in ("t2v", "v2t"):
            assert row["test"][way]["R@5"]["mean"] == report.details[way]["R@5"]
    score = {
        row["key"]: sum(row["validation"][way]["R@1"]["mean"] for way in ("t2v", "v2t"))
        for row in kept["rows"]
    }
    assert score[kept["chosen"]] == max(score.values())
    assert "stride = 12" in (tmp_path / "out" / "ablation.md").read_text()
    assert r"\begin{tabular}" in (tmp_path / "out" / "ablation.tex").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_variant_that_fails_is_named_and_costs_no_other(
    tiny_corpus: Path, two_encoders_features: Path, tmp_path: Path
) -> None:
    grid = Grid(parts=(Part(title="too fast", set={"lr": 1e30, "warmup": 0.0}), Part(title="sound")))
    arguments = (tiny_corpus, two_encoders_features, tmp_path, RetrievalSettings(**QUICK), grid)
    with pytest.raises(
        CicoError, match=r"1 of 2 trainings failed; the first, 'too fast' with seed 0: .*rate"
    ):
        ablate(*arguments, AblationSettings(seeds=1))
    sound = Grid(parts=(Part(title="sound"),))
    again = ablate(*arguments[:4], sound, AblationSettings(seeds=1))
    assert (again.done, again.skipped) == (0, 1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_ablation_that_was_killed_repeats_no_training_that_was_done(
    tiny_corpus: Path, two_encoders_features: Path, tmp_path: Path
) -> None:
    program = textwrap.dedent(
        """
        import json, sys
        from cico_platform.evaluation.ablation import AblationSettings, ablate
        from cico_platform.evaluation.ablation_grid import Grid
        from cico_platform.training.retrieval import RetrievalSettings
        summary = ablate(
            *sys.argv[1:],
            RetrievalSettings(epochs=40, batch_size=8, evaluate_every=20, run={"workers": 0, "threads": 1}),
            Grid(vary={"pooling": ["fine", "mean"]}),
            AblationSettings(seeds=2, concurrent=1),
        )
        print(json.dumps([summary.done, summary.skipped]))
        """
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", program, str(tiny_corpus), str(two_encoders_features), str(out)]
    run = subprocess.Popen(command, start_new_session=True)
    while len(done := finished(out)) < 2:
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert not (out / "ablation.json").exists()
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    counts = json.loads(again.stdout.splitlines()[-1])
    assert sum(counts) == 4
    assert counts[1] in (2, 3), "a training may have ended while the driver was being killed"
    assert done.items() <= finished(out).items()
    assert len(finished(out)) == 4
    rows = json.loads((out / "ablation.json").read_text())["rows"]
    assert [row["title"] for row in rows] == ["pooling = fine", "pooling = mean"]
    third = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(third.stdout.splitlines()[-1]) == [0, 4]


def finished(out: Path) -> dict[str, int]:
    """When each training whose ranks are there was finished."""
    return {
        str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("ranks/test/*/*/step.json")
    }
