"""`cico bench pipeline`: features of many clips by Ray Data, beside a plain loop over them."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cico_model.checkpoint import load_sign_encoder, save_sign_encoder
from cico_model.config import SIGN_ENCODERS
from cico_platform.benchmarks.interleave import Say, Side, clear_outputs, interleave
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.material import SUFFIXES, drawn_encoder, drawn_video
from cico_platform.benchmarks.rows import Row, compare, make_row
from cico_platform.benchmarks.settings import BenchSettings, Task
from cico_platform.corpus.clip_keys import file_facts, key_columns
from cico_platform.corpus.encode import write_video
from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.errors import InputError

CLIPS = {"plain-loop": 240, "two-workers": 480, "resume": 1000}
QUICK_CLIPS = 24
DRAWN_FILES, DRAWN_FRAMES, DRAWN_SIDE, FPS = 12, 75, 256, 25.0
CLASSES = 50
REPEATS = 3
SIDES = "cico_platform.benchmarks.pipeline_sides"


@dataclass(frozen=True)
class Comparison:
    """A row: both sides' function and values, what is compared, for people, and on how many clips."""

    name: str
    size: str
    clips: int
    plain: tuple[str, dict[str, Any]]
    ours: tuple[str, dict[str, Any]]


def bench_pipeline(settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Measure `cico features` on a corpus of many clips, with the tiny sign encoder unless one is given.

    Every repeat loads the encoder anew and ends with stored features; the start of Ray is not in its time.
    The time of `two-workers` begins with the first finished batch.

    Returns
    -------
    dict
        `rows`, in clips/s: `plain-loop` (a loop without Ray; one encoder process of ours), `two-workers` (one
        worker of one thread on one core; two on two), `resume` (a first run; the same command again);
        `machine`; `input`.

    Raises
    ------
    InputError
        If the videos or the encoder cannot be used.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="cico-bench-") as name:
        folder = Path(name)
        say("making the encoder and the corpus ...")
        files, source = _prepare(folder, settings)
        for comparison in _comparisons(settings):
            say(f"{comparison.name}: {comparison.size}")
            _write_corpus(folder, files, comparison.clips)
            rows.append(_row(comparison, folder, settings, say))
            clear_outputs(folder)
    return {
        "rows": rows,
        "machine": describe_machine(settings.threads),
        "input": source,
        "quick": settings.quick,
    }


def _comparisons(settings: BenchSettings) -> list[Comparison]:
    threads = settings.threads
    clips = {name: QUICK_CLIPS if settings.quick else count for name, count in CLIPS.items()}
    one = {"actors": 1, "threads": 1, "decoders": 1, "cores": 1}
    return [
        Comparison(
            "plain-loop",
            f"{clips['plain-loop']} clips; a loop, and Ray Data with one encoder of {threads} threads",
            clips["plain-loop"],
            ("plain_loop", {}),
            ("ray_data", {"actors": 1, "threads": threads, "decoders": threads}),
        ),
        Comparison(
            "two-workers",
            f"{clips['two-workers']} clips; one worker of one thread on one core, two on two; once started",
            clips["two-workers"],
            ("throughput", one),
            ("throughput", {"actors": 2, "threads": 1, "decoders": 2, "cores": 2}),
        ),
        Comparison(
            "resume",
            f"{clips['resume']} clips; a first run, and the same command again",
            clips["resume"],
            ("first_run", {"threads": threads}),
            ("second_run", {"threads": threads}),
        ),
    ]


def _row(comparison: Comparison, folder: Path, settings: BenchSettings, say: Say) -> Row:
    sides = []
    for name, (function, values) in (("plain", comparison.plain), ("ours", comparison.ours)):
        task = Task(
            folder=folder, threads=settings.threads, seed=settings.seed, values={**values, "side": name}
        )
        sides.append(Side(f"{comparison.name}-{name}", f"{SIDES}:{function}", task))
    found = interleave(sides, settings.count(REPEATS), say)
    plain, ours = (found[side.name] for side in sides)
    for side in (plain, ours):
        side.memory = {}  # most of it is that of Ray's workers, other processes
    return make_row(
        comparison.name,
        comparison.size,
        plain,
        ours,
        unit="clips/s",
        amounts=(comparison.clips, comparison.clips),
        difference=lambda: compare(
            [(plain.outputs["features"], ours.outputs["features"])],
            [(plain.outputs["features"], ours.outputs["features"])],
        ),
    )


def _prepare(folder: Path, settings: BenchSettings) -> tuple[list[Path], str]:
    """Write `encoder/`; returns the videos, and in words where they come from."""
    if settings.encoder is None:
        encoder = drawn_encoder(CLASSES, SIGN_ENCODERS["tiny"], settings.seed)
        labels = [str(number) for number in range(CLASSES)]
    else:
        try:
            encoder, labels = load_sign_encoder(settings.encoder)
        except (ValueError, OSError, RuntimeError) as error:
            raise InputError(f"{error}; a sign encoder comes from 'cico train sign-encoder'") from error
    save_sign_encoder(folder / "encoder", encoder, labels)
    source = f"clips of {settings.videos.name}" if settings.videos else "drawn clips"
    return _files(folder, settings), source


def _write_corpus(folder: Path, files: list[Path], count: int) -> None:
    clips = [
        Clip(f"clip-{i:05d}", f"t{i}", "train", str(files[i % len(files)]), f"text {i}", f"Text {i}")
        for i in range(count)
    ]
    facts = {file: file_facts(str(file)) for file in files}
    known = key_columns(clips, [facts[files[i % len(files)]] for i in range(count)])
    write_manifest(folder / "corpus", clips, known)


def _files(folder: Path, settings: BenchSettings) -> list[Path]:
    if settings.videos is None:
        drawn = []
        for number in range(DRAWN_FILES):
            drawn.append(folder / "videos" / f"{number}.mp4")
            drawn[-1].parent.mkdir(exist_ok=True)
            frames = drawn_video(DRAWN_FRAMES, DRAWN_SIDE, settings.seed * DRAWN_FILES + number)
            write_video(drawn[-1], frames, FPS, crf=20)
        return drawn
    files = sorted(f.resolve() for f in settings.videos.glob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"'{settings.videos}' holds no videos")
    return files
