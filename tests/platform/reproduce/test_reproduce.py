"""One command takes a miniature of each corpus to the table, at the paper's size; kills change nothing."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from cico_command import Cico
from miniatures import Sizes, csl_daily, how2sign, phoenix2014t, published_clip, published_encoder

from cico_platform.corpus.manifest import Corpus
from cico_platform.pipelines.mine import read_segments
from cico_platform.reproduce.run import MARKDOWN_FILE, TABLE_FILE
from cico_platform.steps import STEP_FILE

# Runs the command again and again in processes that share the imports. Each but the last dies when the step
# whose folder is named has done its work and is about to be finished. Prints how each ended, and when.
DRIVER = """
import json, os, signal, sys
from cico_platform import steps
from cico_platform.cli.main import run
from cico_platform.reproduce import dry_run
from cico_platform.reproduce import run as _

targets, home, sys.argv = json.loads(sys.argv[1]), sys.argv[2], ["cico", *sys.argv[3:]]
write = steps.write_json

def write_or_die(path, value):
    if target and path.name == steps.STEP_FILE and target in str(path.parent):
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, value)

steps.write_json = write_or_die
for step in [*targets, None]:
    target = step and os.path.join(home, os.path.dirname(step), "." + os.path.basename(step) + ".building")
    child = os.fork()
    if not child:
        run()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    files = {name: os.path.join(home, name, steps.STEP_FILE) for name in targets}
    finished = {name: os.path.getmtime(file) for name, file in files.items() if os.path.exists(file)}
    print(json.dumps({"step": step, "code": code, "finished": finished}), flush=True)
"""
# One step of each training, in the calling process.
SHORT = [
    option
    for setting in (
        "adaptation.epochs=1", "adaptation.batch_size=4", "adaptation.run.workers=0",
        "training.epochs=1", "training.batch_size=4", "training.run.workers=0",
        "training.run.checkpoint_seconds=600", "evaluation.resamples=10",
    )
    for option in ("--set", setting)
]  # fmt: skip
SMALL = Sizes(train=3, dev=1, test=2)
# Folders of the steps in their order, below that of the corpus.
STEPS = (
    "encoders/agnostic", "clip", "read/train", "read/test", "corpus", "segments", "encoders/domain_aware",
    "features", "models/seed-0", "models/seed-1", "report",
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn weights of the paper's sizes, as they are published."""
    folder = tmp_path_factory.mktemp("weights")
    published_encoder(folder / "bsl5k.pth.tar")
    published_clip(folder / "ViT-B-32.pt")
    return folder


@pytest.fixture(scope="module")
def light_weights(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sign encoder, and a CLIP of one narrow layer, whose towers train in a moment."""
    folder = tmp_path_factory.mktemp("light_weights")
    (folder / "bsl5k.pth.tar").symlink_to(weights / "bsl5k.pth.tar")
    published_clip(folder / "ViT-B-32.pt", layers=1, video_width=64, text_width=64)
    return folder


@dataclass
class Miniature:
    """A miniature of a corpus, and the command that reproduces it in processes of its own."""

    name: str
    root: Path
    weights: Path
    address: str

    def run(self, storage: Path, killed_at: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Run the command once for each step, killed there, and to its end: a line each, then the result."""
        given = ["--root", self.root, "--weights", self.weights, "--address", self.address]
        command = ["reproduce", self.name, *map(str, given), "--storage", str(storage)]
        home = str(storage / self.name)
        driver = [sys.executable, "-c", DRIVER, json.dumps(list(killed_at)), home]
        options = [*SHORT, "--seeds", "2", "--json"]
        ran = subprocess.run([*driver, *command, *options], capture_output=True, text=True, timeout=900)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        assert lines, ran.stderr
        assert lines[-1]["code"] == 0, ran.stderr
        return [line for line in lines if "code" in line] + [line for line in lines if "table" in line]


@pytest.fixture(scope="module")
def phoenix(light_weights: Path, tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Miniature:
    """Its runs join the tests' Ray cluster."""
    root = phoenix2014t(tmp_path_factory.mktemp("phoenix") / "root", SMALL)
    return Miniature("phoenix2014t", root, light_weights, ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="module")
def uninterrupted(
    phoenix: Miniature, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """Result and folder of one run that nothing stops."""
    storage = tmp_path_factory.mktemp("uninterrupted")
    return phoenix.run(storage)[-1], storage / "phoenix2014t"


def check(told: dict[str, Any], home: Path, texts: int, videos: int, notes: list[str]) -> None:
    """The table has the published protocol's counts, ours beside the published, and its notes."""
    table = told["table"]
    assert (table["texts"], table["videos"]) == (texts, videos)
    assert [row["method"] for row in table["rows"]][:-1] == ["CiCo", "UPRet", "SEDS", "C2RL"]
    ours = table["rows"][-1]
    assert ours["method"].startswith("ours")
    for direction in ("t2v", "v2t"):
        assert set(ours[direction]) == {"R@1", "R@5", "R@10", "MedR", "MeanR"}
        assert ours[direction]["R@5"]["value"] == 100.0
    for note in (*notes, f"{texts} texts and {videos} videos were scored", "training.epochs=1"):
        assert any(note in one for one in table["notes"]), note
    assert json.loads((home / TABLE_FILE).read_text()) == table
    assert ours["method"] in (home / MARKDOWN_FILE).read_text()
    features = json.loads((home / "features" / "features.json").read_text())
    assert (len(features["encoders"]), features["dim"]) == (2, 1024)
    assert told["steps"]["features"]["done"] == len(list(Corpus(home / "corpus").clips()))
    assert len(read_segments(home / "segments")) == told["steps"]["mine"]["done"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(
    ("name", "towers", "texts", "videos", "notes"),
    [
        ("how2sign", "weights", 2, 4, ["No signers' boxes were found for: validation"]),
        ("csl-daily", "light_weights", 2, 3, ["5% of the training texts", "1 clips were left out"]),
    ],
)
def test_one_command_makes_the_table(
    name: str,
    towers: str,
    texts: int,
    videos: int,
    notes: list[str],
    cico: Cico,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    root = {"how2sign": how2sign, "csl-daily": csl_daily}[name](tmp_path / "root", SMALL)
    given = ["--root", root, "--weights", request.getfixturevalue(towers), "--storage", tmp_path / "out"]
    arguments = ["reproduce", name, *given, *SHORT, "--seeds", 1, "--json"]
    found = cico(*arguments)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    check(told, tmp_path / "out" / name, texts, videos, notes)
    repeated = json.loads(cico(*arguments).stdout)
    assert repeated["done"] == 0, repeated["steps"]
    assert repeated["table"] == told["table"]
    planned = json.loads(cico(*arguments, "--dry-run").stdout)
    assert all(step["finished"] for step in planned["steps"])
    assert planned["segments"] == told["steps"]["mine"]["done"], "one a clip, as they were mined"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_phoenix_is_scored_on_the_sentences_of_its_official_test_split(
    uninterrupted: tuple[dict[str, Any], Path],
) -> None:
    told, home = uninterrupted
    check(told, home, 2, 2, ["`dev` of PHOENIX-2014T holds the training split", "in the paper 642 and 642"])
    assert told["table"]["rows"][-1]["method"] == "ours, mean of 2 seeds"
    features = json.loads((home / "features" / "features.json").read_text())
    assert features["alpha"] == 0.9
    assert [clip.split for clip in Corpus(home / "corpus").clips()].count("validation") == 1


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_killed_at_each_step_and_resumed_the_table_is_the_same(
    phoenix: Miniature, uninterrupted: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    check_kills(phoenix, STEPS, uninterrupted, tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["how2sign", "csl-daily"])
@pytest.mark.usefixtures("ray_cluster")
def test_killed_at_each_step_of_another_corpus_the_table_is_the_same(
    name: str, light_weights: Path, tmp_path: Path
) -> None:
    root = {"how2sign": how2sign, "csl-daily": csl_daily}[name](tmp_path / "root", SMALL)
    corpus = Miniature(name, root, light_weights, ray.get_runtime_context().gcs_address)
    home = tmp_path / "whole" / name
    result = corpus.run(tmp_path / "whole")[-1]
    made = sorted(home.rglob(STEP_FILE), key=lambda file: file.stat().st_mtime_ns)
    steps = [str(file.parent.relative_to(home)) for file in made]
    assert {"corpus", "segments", "features", "models/seed-1", "report"} < set(steps)
    check_kills(corpus, steps, (result, home), tmp_path / "killed")


def check_kills(
    corpus: Miniature, steps: Sequence[str], whole: tuple[dict[str, Any], Path], storage: Path
) -> None:
    """Killed as each step ends, no step is made twice, and the table is that of a run that nothing stops."""
    *killed, _, result = corpus.run(storage, steps)
    assert [run["code"] for run in killed] == [-signal.SIGKILL] * len(steps)
    finished: dict[str, float] = {}
    for number, run in enumerate(killed):
        assert run["step"] == steps[number]
        assert list(run["finished"]) == list(steps[:number])
        assert finished.items() <= run["finished"].items(), "a step was made again"
        finished = run["finished"]
    undisturbed, other = whole
    assert result["table"] == undisturbed["table"]
    markdown = [home / MARKDOWN_FILE for home in (storage / corpus.name, other)]
    assert markdown[0].read_text() == markdown[1].read_text()
