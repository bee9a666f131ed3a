"""Workers, or one process, build the same collection, whatever is killed meanwhile."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from indexed_corpus import Material, content, left_over, make_material
from qdrant_stand_in.process import StandInProcess

from cico_platform.index.base import VectorIndex, open_index
from cico_platform.pipelines import index_building
from cico_platform.pipelines.indexing import build_index

CLIPS = 80
# Of tokens: some eight clips.
WRITE_BYTES = 1200
KILLS = [pytest.param(3, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.chaos)]

# The process that is killed: it indexes, on workers if it is told to.
DRIVER = f"""
import sys
import torch
torch.set_num_threads(1)
from cico_platform.index.base import VectorIndex
from cico_platform.pipelines import index_building
from cico_platform.pipelines.indexing import build_index

VectorIndex.write_bytes = {WRITE_BYTES}
*inputs, few = sys.argv[1:]
index_building.FEW_CLIPS = int(few)
print("begins", flush=True)
build_index(*inputs, on_progress=lambda done, total: print(done, flush=True), workers=2)
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make_material(tmp_path_factory.mktemp("building"), CLIPS)


@pytest.fixture(autouse=True)
def small_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VectorIndex, "write_bytes", WRITE_BYTES)


def build(material: Material, where: str) -> dict[str, tuple[dict[str, object], bytes]]:
    """Index, and return all that the collection holds; nothing is left over."""
    summary = build_index(*material, where)
    assert (summary.done + summary.skipped, summary.quarantined) == (CLIPS, 0)
    with open_index(where, must_exist=True) as index:
        assert not left_over(index, summary.details["collection"])
        return content(index, summary.details["collection"])


def test_a_server_and_a_folder_hold_the_same_after_one_process_has_built_them(
    material: Material, server_url: str, tmp_path: Path
) -> None:
    embedded = build(material, str(tmp_path / "index"))
    assert embedded == build(material, server_url)
    assert len(embedded) == CLIPS
    assert all(payload["corpus"] == "corpus" and payload["clip_key"] for payload, _ in embedded.values())
    # Nothing is left to do.
    assert build_index(*material, server_url).done == 0


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(
    ("engine", "kills"),
    [
        ("embedded", 0),
        pytest.param("embedded", 1, marks=pytest.mark.slow),
        pytest.param("server", 1, marks=pytest.mark.slow),
    ],
)
def test_workers_write_what_one_process_writes_also_where_one_is_killed(
    engine: str,
    kills: int,
    material: Material,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = build(material, str(tmp_path / "alone"))
    monkeypatch.setattr(index_building, "FEW_CLIPS", 0)
    where = str(tmp_path / "index") if engine == "embedded" else request.getfixturevalue("server_url")
    killed: list[int] = []

    def kill_one(done: int, total: int, /, **_: object) -> None:
        if done >= 10 and len(killed) < kills:
            victim = workers()[0]
            killed.append(victim.pid)
            victim.kill()

    summary = build_index(*material, where, on_progress=kill_one, workers=2)
    assert len(killed) == kills
    assert (summary.done, summary.skipped, summary.quarantined) == (CLIPS, 0, 0)
    with open_index(where, must_exist=True) as index:
        assert content(index, summary.details["collection"]) == alone
        assert not left_over(index, summary.details["collection"])


def workers() -> list[psutil.Process]:
    """Workers of this process' own Ray that build indexes."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "PointBuilder" in " ".join(each.cmdline())]


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("engine", ["embedded", "server"])
def test_a_process_that_is_killed_at_any_moment_goes_on(
    engine: str, kills: int, material: Material, tmp_path: Path
) -> None:
    alone = build(material, str(tmp_path / "alone"))
    with StandInProcess(tmp_path / "server") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CICO_QDRANT_TOKENS", str(tmp_path / "tokens"))
        where = server.url if engine == "server" else str(tmp_path / "index")
        kill_again_and_again(material, where, kills, few=CLIPS)
        assert build(material, where) == alone


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_a_driver_that_is_killed_with_its_workers_goes_on(material: Material, tmp_path: Path) -> None:
    alone = build(material, str(tmp_path / "alone"))
    with StandInProcess(tmp_path / "server") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CICO_QDRANT_TOKENS", str(tmp_path / "tokens"))
        for where in (str(tmp_path / "index"), server.url):
            kill_again_and_again(material, where, 10, few=0)
            assert build(material, where) == alone


def kill_again_and_again(material: Material, where: str, kills: int, few: int) -> None:
    """Start the driver so many times, and kill it at other moments of its work."""
    rng, killed = random.Random(0), 0
    for number in range(kills):
        command = [sys.executable, "-c", DRIVER, *map(str, material), where, str(few)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        # After more and more writes of a run, as each of them goes on with what is there.
        for _ in range(1 + number % 4):
            run.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        os.kill(run.pid, signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        run.stdout.close()
    # A run that finds nearly all done may end first.
    assert killed >= kills // 2, "the runs ended before they could be killed"
