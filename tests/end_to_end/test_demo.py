"""The demo as a person runs it: whole, killed and resumed, on one's own clips, some of them broken."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cico_platform.corpus.manifest import Corpus

pytestmark = pytest.mark.timeout(2400)
slow = pytest.mark.slow
CICO = Path(sys.executable).with_name("cico")
ALL_VARIANTS = {"agnostic", "domain_aware", "clcl", "augmented"}
VARIANTS = {"domain_aware", "augmented"}


def run(*arguments: object, timeout: float = 2300) -> dict[str, Any]:
    """Run `cico` to its end and read the JSON object that it prints."""
    command = [str(CICO), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Traceback" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def kill_in(stage: str, *arguments: object) -> None:
    """Start the demo and kill it with SIGKILL a moment after it has begun a stage."""
    command = [str(CICO), *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if stage in line:
            time.sleep(0.1)
            break
    else:
        pytest.fail(f"the demo ended before '{stage}'")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """What two runs of the same demo must agree in."""
    return {"variants": result["variants"], "chosen": result["chosen"], "queries": result["queries"]}


@pytest.mark.demo
def test_the_default_demo_finds_unseen_sentences(tmp_path: Path) -> None:
    result = run("demo", "--work-dir", tmp_path / "demo")
    assert result["test_sentences"] >= 200
    assert set(result["variants"]) == VARIANTS
    assert result["variants"][result["chosen"]]["t2v"]["R@1"] >= 50
    assert result["variants"][result["chosen"]]["v2t"]["R@1"] >= 50
    assert result["peak_memory_gib"] <= 4, result["peak_memory_by"]
    assert result["quarantined"] == 0
    for folder in ("corpus", "encoders/agnostic", "encoders/domain_aware", "features", "model", "index"):
        assert (tmp_path / "demo" / folder).is_dir()

    query = result["queries"][0]["text"]
    found = run("search", query, "--index", result["index"], "--limit", 5)
    assert len(found["results"]) == 5
    assert found["results"][0]["words"]
    # A video alone, without the box that its corpus gives: most find their sentence, not all do.
    found = Corpus(tmp_path / "demo" / "corpus").clips(split="train", labelled=False)
    clips = list(found)[::120][:6]
    right = 0
    for clip in clips:
        video = tmp_path / "demo" / "corpus" / clip.path
        signed = run("search", "--video", video, "--index", result["index"])
        right += clip.text in [row["text"] for row in signed["results"]]
    assert right >= 2


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a small demo that nothing has disturbed, and its result."""
    work = tmp_path_factory.mktemp("small") / "demo"
    return work, run("demo", "--small", "--work-dir", work)


@slow
def test_a_demo_killed_at_three_stages_ends_with_the_same_figures(
    small_demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    undisturbed = small_demo[1]
    killed = ("demo", "--small", "--work-dir", tmp_path / "killed")
    for stage in ("Adapt the sign encoder", "Extract sign features", "Train retrieval: + text augmentation"):
        kill_in(stage, *killed)
    result = run(*killed)
    before = ("synthesize", "agnostic", "mine", "domain_aware", "features", "train_domain_aware")
    for name in before:
        assert result["stages"][name]["done"] == 0, f"{name} was repeated"
    assert result["stages"]["train_augmented"]["done"] > 0
    for way in ("t2v", "v2t"):
        for variant in VARIANTS:
            assert result["variants"][variant][way] == undisturbed["variants"][variant][way]
    assert result["chosen"] == undisturbed["chosen"]


@slow
def test_from_scratch_the_first_encoder_is_trained_on_a_drawn_dictionary(tmp_path: Path) -> None:
    call = ("demo", "--small", "--from-scratch", "--variants", "all", "--work-dir", tmp_path / "demo")
    result = run(*call)
    assert set(result["variants"]) == ALL_VARIANTS
    corpus = Corpus(tmp_path / "demo" / "corpus")
    signs = list(corpus.clips(labelled=True))
    assert signs
    assert result["stages"]["agnostic"]["done"] == len(signs)
    assert not any("comes with the package" in note for note in result["notes"])


@slow
def test_a_quick_look_trains_nothing_says_so_and_finds_sentences(tmp_path: Path) -> None:
    call = ("demo", "--quick", "--work-dir", tmp_path / "quick")
    kill_in("Extract sign features", *call)
    result = run(*call)
    assert "variants" not in result
    assert result["stages"]["synthesize"]["done"] == 0  # it went on where it was killed
    assert result["stages"]["features"]["done"] == result["test_sentences"] == 60
    assert any("nothing was trained here" in note for note in result["notes"])
    right = sum(query["found"][0]["video_id"] == query["signed"] for query in result["queries"])
    assert right >= 2
    query = result["queries"][0]
    found = run("search", query["text"], "--index", result["index"])["results"]
    assert query["signed"] in [row["video_id"] for row in found]


@pytest.fixture
def own_clips(shared_dir: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A dozen real clips with their labels, and five files that are broken in five ways."""
    source, folder = shared_dir / "corpus" / "isl_avatar", tmp_path / "clips"
    folder.mkdir()
    with (source / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (source / row["file"]).is_file()][20:32]
    for row in rows:
        shutil.copy(source / row["file"], folder)
    good = (folder / rows[0]["file"]).read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "truncated.mp4").write_bytes(good[: len(good) // 3])
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    (folder / "half.mp4").write_bytes(good[len(good) // 2 :])
    broken = ["empty.mp4", "truncated.mp4", "text.mp4", "half.mp4", "missing.mp4"]
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "word"])
        writer.writerows([row["file"], row["word"]] for row in rows)
        writer.writerows([name, Path(name).stem] for name in broken)
    return folder, labels


@slow
def test_broken_files_among_ones_own_are_quarantined_and_the_demo_goes_on(
    own_clips: tuple[Path, Path], tmp_path: Path
) -> None:
    videos, labels = own_clips
    work = tmp_path / "demo"
    result = run("demo", "--small", "--work-dir", work, "--videos", videos, "--labels", labels)
    assert result["kind"] == "words"
    assert result["stages"]["read"]["done"] == 12
    assert result["stages"]["read"]["quarantined"] == 5
    assert any("quarantined" in note for note in result["notes"])
    assert result["test_sentences"] >= 8

    # As docs/walkthrough.md goes on: search, another model, and back.
    other = work / "variants" / min(VARIANTS - {result["chosen"]})
    sentence, index = result["queries"][0]["text"], work / "index"
    before = run("search", sentence, "--index", index)["results"]
    assert before[0]["words"]
    assert run("reindex", work / "corpus", "--model", other, "--index", index, "--force")["quarantined"] == 0
    assert run("search", sentence, "--index", index)["results"] != before
    run("reindex", "--rollback", "--index", index)
    assert run("search", sentence, "--index", index)["results"] == before


@slow
def test_sentences_without_any_labelled_sign_start_from_the_pretrained_encoder(
    small_demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    videos = small_demo[0] / "corpus" / "videos"
    names = sorted(
        path.name for path in videos.glob("*.mp4") if path.name.startswith(("train", "test", "val"))
    )
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "text", "split"])
        writer.writerows(
            [name, f"this is sentence number {number}", "test" if number % 3 == 0 else "train"]
            for number, name in enumerate(names)
        )
    result = run("demo", "--small", "--work-dir", tmp_path / "demo", "--videos", videos, "--labels", labels)
    assert result["kind"] == "sentences"
    assert any("drawn signs only" in note for note in result["notes"])


def test_a_call_that_names_only_one_of_videos_and_labels_is_told_so(tmp_path: Path) -> None:
    command = [str(CICO), "demo", "--work-dir", str(tmp_path / "demo"), "--videos", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--labels" in done.stderr
    assert "Traceback" not in done.stderr
