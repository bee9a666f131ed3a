"""A new collection goes live at once and whole, whatever dies meanwhile, and the one before comes back."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_collections import make_model, points, texts, write_collection

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, open_index, previous_of
from cico_platform.index.live import LiveSearcher, Swappable
from cico_platform.index.probes import Probe, ask, choose_texts, compare
from cico_platform.index.serving_info import ServingInfo, known_collections, live_serving
from cico_platform.index.writer import IndexWriter, roll_back
from cico_platform.pipelines.index_texts import write_texts

KILLS = 10


@pytest.fixture(params=["embedded", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path):
    location = str(tmp_path / "index")
    if request.param == "server":
        location = request.getfixturevalue("server_url")
    with open_index(location) as opened:
        yield opened


def test_the_collection_before_comes_back_and_older_ones_go(index: VectorIndex, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", 16)
    with pytest.raises(InputError, match="before"):
        roll_back(index)
    for number in (1, 2, 3):
        write_collection(index, f"clips-{number}", tmp_path / "model", model)
    assert set(known_collections(index)) == {"clips-2", "clips-3"}
    with pytest.raises(InputError, match="no collection"):
        index.count("clips-1")
    assert roll_back(index) == "clips-2"
    assert live_serving(index).collection == "clips-2"
    assert roll_back(index) == "clips-3"
    assert live_serving(index).collection == "clips-3"
    assert index.count("clips-2") == index.count("clips-3") == len(texts())


def test_a_cut_build_is_tidied_up_and_another_alias_left_alone(index: VectorIndex, tmp_path: Path) -> None:
    model, folder = make_model(tmp_path / "model", 16), str(tmp_path / "model")
    with IndexWriter(index, ServingInfo("isl-1", 16, folder, (), 1.0, "x"), "isl") as writer:
        writer.add(points(model, texts(4)))
    IndexWriter(index, ServingInfo("clips-cut", 16, folder, (), 1.0, "x")).add(points(model, texts(4)))
    assert "clips-cut" in known_collections(index)
    write_collection(index, "clips-1", tmp_path / "model", model)
    assert set(known_collections(index)) == {"isl-1", "clips-1"}
    assert index.alias("isl") == "isl-1"


def test_probes_tell_a_collection_that_finds_less(index: VectorIndex, tmp_path: Path) -> None:
    good, other = make_model(tmp_path / "model", 16), make_model(tmp_path / "other", 16, seed=1)
    write_collection(index, "clips-1", tmp_path / "model", good)
    chosen = choose_texts(index, "clips-1", 12)
    assert len(chosen) == 12
    before = ask(index, "clips-1", good, chosen)
    assert all(probe.hit() for probe in before)
    same = compare(before, before)
    assert (same.probes, same.recall_before, same.kept, same.overlap) == (12, 1, 1, 1)
    mixed = compare(before, ask(index, "clips-1", other, chosen))
    assert mixed.recall_now < 1
    assert mixed.kept == mixed.recall_now
    gone = compare(before, [Probe(p.text, [], p.found) for p in before])
    assert (gone.probes, gone.kept) == (0, None)


def test_the_texts_that_are_chosen_do_not_depend_on_how_many_or_on_the_order_of_the_clips(
    index: VectorIndex, tmp_path: Path
) -> None:
    model, folder = make_model(tmp_path / "model", 16), str(tmp_path / "model")
    said = {f"clip-{number}": f"boy {number % 97}" for number in range(300)}
    for name, clips in (("clips-1", said), ("clips-2", dict(reversed(said.items())))):
        info = ServingInfo(name, 16, folder, (), 1.0, "x")
        with IndexWriter(index, info) as writer:
            writer.add(points(model, clips))
        write_texts(index, info, model)
    chosen = choose_texts(index, "clips-1", 20)
    assert len(chosen) == 20
    assert choose_texts(index, "clips-2", 20) == chosen
    assert list(choose_texts(index, "clips-1", 97))[:20] == list(chosen)
    assert choose_texts(index, "clips-1", 200).keys() == set(said.values())
    for text, clips in chosen.items():
        assert clips == sorted(name for name, other in said.items() if other == text)
    assert choose_texts(index, "clips-1", 0) == {}


def test_a_collection_without_texts_has_no_probes(index: VectorIndex, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", 16)
    with IndexWriter(index, ServingInfo("clips-1", 16, str(tmp_path / "model"), (), 1.0, "x")) as writer:
        writer.add(points(model, texts(4)))
    assert choose_texts(index, "clips-1", 5) == {}


def test_searches_go_on_while_the_alias_moves_and_never_mix_models(tmp_path: Path) -> None:
    location = str(tmp_path / "index")
    widths = {"clips-1": 16, "clips-2": 24}
    models = {name: make_model(tmp_path / name, width, width) for name, width in widths.items()}
    with open_index(location) as index:
        write_collection(index, "clips-1", tmp_path / "clips-1", models["clips-1"])
    seen: list[tuple[int, str]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                with live.use() as searcher:
                    row = searcher.by_text(texts()["clip-3"], limit=1)[0]
                    hit = next(searcher.index.fetch(searcher.info.collection, ["clip-3"]))
                    assert row["video_id"] == "clip-3"
                    seen.append((searcher.model.config.embed_dim, hit.payload["model_id"]))
            except BaseException as error:
                failures.append(error)

    with LiveSearcher(location, seconds=0.05) as live:
        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        for name in ("clips-2", "clips-1"):
            with open_index(location) as index:
                if name == "clips-2":
                    write_collection(index, name, tmp_path / name, models[name])
                else:
                    assert roll_back(index) == name
            deadline = time.monotonic() + 60
            while not seen or seen[-1][1] != name:
                assert time.monotonic() < deadline, failures
                time.sleep(0.02)
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert set(seen) == {(16, "clips-1"), (24, "clips-2")}


def test_a_held_collection_is_not_taken_from_its_reader(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", 16)
    location = str(tmp_path / "index")
    with open_index(location) as index:
        write_collection(index, "clips-1", tmp_path / "model", model)
    with open_index(location) as reader, open_index(location) as writer:
        assert reader.count("clips-1") == len(texts())
        for number in (2, 3):
            write_collection(writer, f"clips-{number}", tmp_path / "model", model)
        assert reader.count("clips-1") == len(texts())
        with pytest.raises(CicoError, match="in use by"):
            writer.count("clips-1")


def test_what_is_swapped_out_closes_after_its_last_user() -> None:
    class Thing:
        closed = False

        def close(self) -> None:
            self.closed = True

    old, new = Thing(), Thing()
    swappable = Swappable(old)
    with swappable.use() as first:
        with swappable.use():
            swappable.replace(new)
            with swappable.use() as now:
                assert now is new
        assert first is old
        assert not old.closed
    assert old.closed
    assert not new.closed
    swappable.close()
    assert new.closed


def test_a_kill_at_any_moment_leaves_the_live_alias_right(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys, time
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
import torch
torch.set_num_threads(1)
from pathlib import Path
from small_collections import make_model, points, texts, write_collection
from cico_platform.index.base import open_index
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.index.writer import IndexWriter

folder = Path({str(tmp_path)!r})
model = make_model(folder / "model", 16)
made = points(model, texts(60))

def build(name):
    with open_index(str(folder / "index")) as index:
        info = ServingInfo(name, 16, str(folder / "model"), (), 1.0, "small", content=name)
        with IndexWriter(index, info) as writer:
            present = writer.present()
            writer.keep(present)
            there = set(present["video_id"].to_pylist())
            for clip in made:
                if clip.video_id not in there:
                    writer.add([clip])

def check():
    with open_index(str(folder / "index"), must_exist=True) as index:
        info = live_serving(index)
        assert info.collection == info.content, info
        assert index.count(info.collection) == len(made)
        print(info.collection, flush=True)

def child(work, after=None):
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

assert child(lambda: build("clips-0")) == 0
began = time.monotonic()
assert child(lambda: build("clips-1")) == 0
took = time.monotonic() - began
for number in range({KILLS}):
    child(lambda: build("clips-2"), took * (number + 0.5) / {KILLS} / 2)
    assert child(check) == 0
assert child(lambda: build("clips-2")) == 0
assert child(check) == 0
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.split()
    assert lines[0] == "clips-1"
    assert lines[-1] == "clips-2"
    with open_index(str(tmp_path / "index")) as index:
        assert index.alias(previous_of("clips")) == "clips-1"
        assert set(known_collections(index)) == {"clips-1", "clips-2"}
