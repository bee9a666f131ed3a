"""`cico bench scale` trains on corpora that take no room on the disk, and says what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cico_platform.benchmarks.scale import feature_store
from cico_platform.benchmarks.scale.drawn_features import DIM, WINDOWS, draw_corpus
from cico_platform.benchmarks.scale.feature_store_sides import in_memory, mapped
from cico_platform.benchmarks.scale.rows import ROWS, bench_scale
from cico_platform.benchmarks.settings import BenchSettings, Task
from cico_platform.cli.bench import app
from cico_platform.errors import InputError
from cico_platform.training.data.feature_source import open_store
from cico_platform.training.pairs import load_pairs

CLIPS = 300


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_corpus(tmp_path_factory.mktemp("drawn"), CLIPS)


def test_a_drawn_corpus_has_a_whole_store_that_takes_no_room(drawn: tuple[Path, Path]) -> None:
    store = open_store(drawn[1])
    files = [path.stat() for path in store.folder.iterdir()]
    assert sum(file.st_size for file in files) > CLIPS * WINDOWS * DIM * 2
    assert sum(file.st_blocks * 512 for file in files) < 1 << 20
    pairs = load_pairs(*drawn, "train")
    assert len(pairs) == CLIPS
    assert CLIPS * 0.9 < len(pairs.texts) < CLIPS, "some texts are said twice"
    values, valid = pairs.features.batch(range(CLIPS))
    assert values.shape == (CLIPS, WINDOWS, DIM)
    assert bool(valid.all())


def test_both_sides_take_a_step_and_read_on(drawn: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, features = map(str, drawn)
    values = {"corpus": corpus, "features": features, "epochs": 2, "batch": 16}
    task, begun = Task(folder=tmp_path, threads=1, seed=0, values=values), list[str]()
    for side in (mapped, in_memory):
        outputs = side(task, lambda: begun.append("")).run()
        assert set(outputs) == {"seconds", "rows_per_s", "resident_mib"}
        assert all(float(value) > 0 for value in outputs.values())
    assert len(begun) == 2


def test_what_does_not_fit_into_memory_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "QUICK_SIZES", (200,))
    monkeypatch.setattr(feature_store, "free_bytes", lambda: 1000)
    row = feature_store.measure(tmp_path, BenchSettings(quick=True, repeats=1, threads=1), lambda _: None)
    assert row["skipped"]["plain"].startswith("would need about")
    assert "plain" not in row
    assert "ratio" not in row
    assert (row["name"], row["sizes"][0]["clips"]) == ("feature-store", 200)
    assert row["first_step_s"] == row["sizes"][0]["ours"]["first_step_s"] > 0
    assert row["resident_mib"] == row["sizes"][0]["ours"]["resident_mib"] > 0


def test_an_unknown_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not 'speed'"):
        bench_scale(BenchSettings(), lambda _: None, only=["speed"])


@pytest.mark.slow
def test_a_quick_run_gives_every_row() -> None:
    rows = [f"--row={name}" for name in ROWS if name != "index-building"]
    done = CliRunner().invoke(app, ["scale", "--quick", "--repeats", "1", "--json", "--threads", "1", *rows])
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    rows = {row["name"]: row for row in report["rows"]}
    driver = rows["driver"]
    assert not driver["skipped"]
    assert driver["bytes_per_clip"] < 100 < driver["sizes"][-1]["plain"]["bytes_per_clip"]
    assert [start["rows"] for start in driver["starts"]] == [1_000, 10_000]
    assert driver["fit"].keys() == {"ms_per_clip", "start_s"}
    row = rows["feature-store"]
    assert not row["skipped"]
    assert [size["clips"] for size in row["sizes"]] == [1_000, 10_000]
    assert row["resident_mib"] < row["sizes"][1]["plain"]["resident_mib"]


@pytest.mark.chaos
def test_one_and_two_workers_build_an_index() -> None:
    done = CliRunner().invoke(app, ["scale", "--row", "index-building", "--size", "800", "--json"])
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert "skipped" not in row
    for side in row["sides"].values():
        assert side["clips"] == 800
        assert 0 < side["first_s"] < side["filled_s"] < side["seconds"]
    assert row["ratio"] > 0
