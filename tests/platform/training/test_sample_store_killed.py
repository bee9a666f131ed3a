"""A sample store whose build is killed again and again is the one of an undisturbed build."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from sample_stores import build_here
from tiny_corpus import SIGN_FRAMES, write_corpus

from cico_platform.corpus.manifest import Corpus
from cico_platform.training.data.cuts import Cut, FrameSettings, plan_store

DRIVER = """
import json, sys
from pathlib import Path
from cico_platform.cluster import connect
from cico_platform.corpus.manifest import Corpus
from cico_platform.training.data.cuts import Cut, FrameSettings
from cico_platform.training.data.sample_builder import build_sample_store

corpus, cuts, out = sys.argv[1:]
connect()
cuts = [Cut(**cut) for cut in json.loads(Path(cuts).read_text())]
summary = build_sample_store(Corpus(corpus), cuts, Path(out), FrameSettings(size=64), 2)
print(json.dumps([summary.samples, summary.built, summary.lost_clips]))
"""
SETTINGS = FrameSettings(size=64)
KILLS = 10
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Cut]]:
    """A corpus, a file of its cuts, and the cuts."""
    folder = tmp_path_factory.mktemp("killed")
    corpus = write_corpus(folder / "corpus", train=110)
    cuts = [
        Cut(clip.video_id, sign, number * SIGN_FRAMES, (number + 1) * SIGN_FRAMES)
        for clip in Corpus(corpus).clips("train", labelled=False)
        for number, sign in enumerate(clip.text.split())
    ]
    (folder / "cuts.json").write_text(json.dumps([asdict(cut) for cut in cuts]))
    return corpus, folder / "cuts.json", cuts


def start(given: tuple[Path, Path, list[Cut]], out: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", DRIVER, str(given[0]), str(given[1]), str(out)]
    return subprocess.Popen(arguments, start_new_session=True, stdout=subprocess.PIPE, text=True)


def assert_whole(given: tuple[Path, Path, list[Cut]], out: Path, undisturbed: Path) -> None:
    build_here(given[0], given[2], undisturbed, SETTINGS)
    found, expected = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (out, undisturbed))
    assert found == expected


def test_sigkill_of_the_driver_repeats_no_shard_that_is_whole(
    given: tuple[Path, Path, list[Cut]], tmp_path: Path
) -> None:
    out, rng, killed = tmp_path / "samples", random.Random(0), 0
    shards = len(plan_store(Corpus(given[0]), given[2], SETTINGS).shards)
    assert shards > KILLS
    known: dict[Path, int] = {}
    for _ in range(KILLS):
        run = start(given, out)
        while len(list(out.glob("*.parquet"))) <= len(known) and run.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        os.kill(run.pid, signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        time.sleep(1.0)  # tasks of the dead driver end
        now = {path: path.stat().st_ino for path in out.glob("*.parquet")}
        assert known.items() <= now.items()
        known = now
        if len(known) == shards:
            break
    assert killed >= 2, "the runs ended before they could be killed"
    last = start(given, out)
    samples, built, lost = json.loads((last.communicate()[0]).splitlines()[-1])
    assert (samples, built, lost) == (len(given[2]) - 2, shards - len(known), 2)
    assert_whole(given, out, tmp_path / "undisturbed")


def test_sigkill_of_decoding_workers_loses_nothing(
    given: tuple[Path, Path, list[Cut]], tmp_path: Path
) -> None:
    out, killed = tmp_path / "samples", 0
    run = start(given, out)
    root = psutil.Process(run.pid)
    while run.poll() is None and killed < KILLS:
        time.sleep(0.1)
        for process in descendants(root):
            if process.is_running() and "_write_task" in title(process):
                process.kill()
                killed += 1
                break
    output = run.communicate()[0]
    assert run.returncode == 0
    assert killed >= 2, "the workers ended before they could be killed"
    assert json.loads(output.splitlines()[-1])[0] == len(given[2]) - 2
    assert_whole(given, out, tmp_path / "undisturbed")


def descendants(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
