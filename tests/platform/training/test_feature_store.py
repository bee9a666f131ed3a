"""The feature store gives what the shards hold, is made once and whole, and says what it leaves out."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_features import DIM, ENCODERS, SHARDS, content, drawn_rows, row, write_shards

import cico_platform.training
from cico_platform.encoding.video_tokens import pad_rows
from cico_platform.pipelines.stored_features import (
    INFO_FILE,
    feature_shards,
    load_features,
)
from cico_platform.steps import write_json
from cico_platform.storage import place
from cico_platform.training.data import feature_source
from cico_platform.training.data.feature_source import open_features, open_store
from cico_platform.training.data.feature_store import FeatureStore
from cico_platform.training.data.feature_store_files import FEATURES
from cico_platform.training.data.feature_store_writer import PROGRESS_FILE, write_store


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "features", drawn_rows())


@pytest.mark.parametrize("encoders", [ENCODERS[:1], ENCODERS])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.25, 1.0])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_it_gives_what_the_shards_hold_mixed_and_thinned_bit_by_bit(
    tmp_path: Path, encoders: Sequence[str], alpha: float | None, stride: int
) -> None:
    folder = write_shards(tmp_path / "features", drawn_rows(encoders))
    wanted, found = load_features(folder, alpha).strided(stride), open_features(folder, alpha, stride)
    names = found.video_ids.to_pylist()
    assert sorted(names) == wanted.video_ids
    assert (found.dim, found.alpha) == (wanted.dim, wanted.alpha)
    rows = found.rows.take([names.index(name) for name in wanted.video_ids])
    assert rows.windows().tolist() == [len(value) for value in wanted.values]
    for number, value in enumerate(wanted.values):
        np.testing.assert_array_equal(rows[number], value)
    chosen = [4, 0, 17, 4]
    for length in (None, 20):
        batch, expected = rows.batch(chosen, length), pad_rows([wanted.values[i] for i in chosen], length)
        assert torch.equal(batch[0], expected[0])
        assert torch.equal(batch[1], expected[1])


def test_what_is_read_may_be_changed_and_the_store_stays(features: Path) -> None:
    rows = open_features(features, 1.0).rows
    before = rows[3].copy()
    rows[3][:] = 0
    rows.batch([3])[0].zero_()
    rows.prefetch([0, 3, 29])
    rows.prefetch([])
    assert (len(rows.take([])), len(rows.windows([]))) == (0, 0)
    np.testing.assert_array_equal(rows[3], before)


def test_the_encoders_rows_of_a_clip_may_lie_apart_in_a_shard(tmp_path: Path) -> None:
    rows = drawn_rows(clips=400)
    apart = [row for encoder in ENCODERS for row in rows if row["encoder_id"] == encoder]
    together, split = (write_shards(tmp_path / n, r, 2) for n, r in (("together", rows), ("apart", apart)))
    found = [open_features(folder) for folder in (together, split)]
    names = [features.video_ids.to_pylist() for features in found]
    assert sorted(names[0]) == sorted(names[1])
    for number, name in enumerate(names[0]):
        np.testing.assert_array_equal(found[0].rows[number], found[1].rows[names[1].index(name)])


def test_a_store_is_made_once_and_again_when_the_features_change(features: Path) -> None:
    first = open_store(features).folder
    made = (first / FEATURES).stat()
    again = open_store(features).folder
    assert again == first
    assert ((again / FEATURES).stat().st_ino, (again / FEATURES).stat().st_mtime_ns) == (
        made.st_ino,
        made.st_mtime_ns,
    )
    other_folder = features.parent / f".features.store-x.store-{'0' * 16}"
    other_folder.mkdir()
    held, before = FeatureStore(first), FeatureStore(first).read(5).clone()
    write_shards(features, drawn_rows(seed=1))
    other = open_store(features).folder
    assert other_folder.exists(), "it is the store of another folder"
    other_folder.rmdir()
    assert [path.name for path in features.parent.glob(".features.store-*")] == [other.name]
    assert torch.equal(held.read(5), before), "a process that maps a store which is removed keeps it"


def test_a_folder_that_was_made_again_with_other_clips_gets_another_store(tmp_path: Path) -> None:
    """A step's name says nothing of which clips went into quarantine."""
    rows, late = drawn_rows(), [row("late", encoder, np.ones((2, DIM))) for encoder in ENCODERS]
    for held in (rows, [*rows, *late], rows):
        folder = write_shards(tmp_path / "features", held)
        write_json(folder / "step.json", {"name": "features", "key": "same", "summary": {}})
        assert ("late" in open_features(folder).video_ids.to_pylist()) == (len(held) > len(rows))
        shutil.rmtree(folder)
    assert len(list(tmp_path.glob(".features.store-*"))) == 1


def test_a_store_may_lie_in_a_folder_of_the_node_s_own(features: Path, tmp_path: Path) -> None:
    folder = open_store(features, str(tmp_path / "fast disk")).folder
    assert folder.parent == tmp_path / "fast disk"
    assert not list(features.parent.glob(".features.store-*"))


def test_features_behind_a_url_are_kept_in_the_cache_of_this_machine(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    remote = place("memory://bucket/features")
    for path in features.iterdir():
        (remote / path.name).write_bytes(path.read_bytes())
    store = open_store(remote)
    assert store.folder.is_relative_to(tmp_path)
    assert content(store.folder) == content(open_store(features).folder)


class Cut(Exception):
    """Ends a try."""


@pytest.mark.parametrize("commit_bytes", [1, 1 << 30])
def test_a_store_that_was_cut_goes_on_and_is_what_an_undisturbed_one_is(
    features: Path, tmp_path: Path, commit_bytes: int
) -> None:
    shards, seen = feature_shards(features), list[int]()
    write_store(tmp_path / "whole", shards, ENCODERS, DIM, "key")
    for shard in (1, 2, 4):
        with suppress(Cut):
            write_store(tmp_path / "cut", shards, ENCODERS, DIM, "key", _raise_at(shard, seen), commit_bytes)
    write_store(tmp_path / "cut", shards, ENCODERS, DIM, "key", _raise_at(0, seen), commit_bytes)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    if commit_bytes == 1:
        assert seen == [1, 2, 3, 4, 5], "what was committed is not read again"


def _raise_at(shard: int, seen: list[int] | None = None) -> Callable[[int, int], None]:
    def cut(done: int, total: int) -> None:
        assert total == SHARDS
        if seen is not None:
            seen.append(done)
        if done == shard:
            raise Cut

    return cut


def _killed(folder: Path, shards: Sequence[Path], commit_bytes: int) -> None:
    def kill(done: int, total: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    write_store(folder, shards, ENCODERS, DIM, "key", kill, commit_bytes)


def test_after_a_kill_it_goes_on_from_the_last_commit(features: Path, tmp_path: Path) -> None:
    shards, seen = feature_shards(features), list[int]()
    write_store(tmp_path / "whole", shards, ENCODERS, DIM, "key")
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(tmp_path / "cut", shards, 1))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert json.loads((tmp_path / "cut" / PROGRESS_FILE).read_text())["shards"] == 3
    with (tmp_path / "cut" / FEATURES).open("ab") as file:
        file.write(b"what was written after the commit")
    write_store(tmp_path / "cut", shards, ENCODERS, DIM, "key", lambda done, _: seen.append(done))
    assert seen == [4, 5]
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_what_a_try_on_other_features_left_is_not_gone_on_with(features: Path, tmp_path: Path) -> None:
    shards = feature_shards(features)
    write_store(tmp_path / "whole", shards, ENCODERS, DIM, "key")
    with pytest.raises(Cut):
        write_store(tmp_path / "cut", shards, ENCODERS, DIM, "another", _raise_at(2), 1)
    write_store(tmp_path / "cut", shards, ENCODERS, DIM, "key")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_processes_that_ask_together_get_one_store(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, found = list[Path](), list[FeatureStore]()

    def counted(folder: Path, *values: object, **more: object) -> object:
        written.append(folder)
        return write_store(folder, *values, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(feature_source, "write_store", counted)
    threads = [threading.Thread(target=lambda: found.append(open_store(features))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len({store.folder for store in found}) == len(written) == 1
    assert [path.name for path in features.parent.glob(".features.store-*")] == [found[0].folder.name]


def own_mib() -> float:
    """Memory of this process that is no mapped file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    pytest.skip("this system doesn't tell")


def test_reading_all_of_a_store_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    count, dim = 1000, 1024
    values = np.random.default_rng(0).random((64, dim), np.float32).astype(np.float16)
    rows = [{**row("", "first", values), "video_id": f"{n}", "dim": dim} for n in range(100)]
    folder = tmp_path / "features"
    write_shards(folder, rows, 1)
    info = json.loads((folder / INFO_FILE).read_text())
    write_json(folder / INFO_FILE, {**info, "dim": dim})
    for number in range(1, count // 100):
        shutil.copy(folder / "part-00000.parquet", folder / f"part-{number:05d}.parquet")
    rows_of_store = open_features(folder).rows
    assert len(rows_of_store) == count
    rows_of_store.batch(range(8))
    before = own_mib()
    for first in range(0, count, 8):
        rows_of_store.batch(range(first, first + 8))
    assert own_mib() - before < 32  # all of them are 125 MiB


def test_no_part_of_training_and_evaluation_loads_a_corpus_features() -> None:
    home = Path(cico_platform.training.__path__[0])
    for path in [*home.rglob("*.py"), *home.with_name("evaluation").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert "load_features" not in text, path
        assert "read_shard" not in text, path
    for path in (
        home / "retrieval.py",
        home / "tasks" / "retrieval.py",
        home / "pairs.py",
        *home.glob("data/*.py"),
    ):
        text = path.read_text(encoding="utf-8")
        assert text.count("ray.put(") == text.count("ray.put(model.state_dict())"), path
