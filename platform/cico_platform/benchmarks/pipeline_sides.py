"""The sides of `cico bench pipeline`: a plain loop over clips, and the pipeline on Ray Data."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cico_model.checkpoint import load_sign_encoder
from cico_model.clips import select_windows, window_starts
from cico_model.config import MAX_WINDOWS
from cico_model.inference import optimize_for_inference
from cico_platform.benchmarks.own_ray import keep_to_cores, own_ray
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.cluster import connect
from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.video import decode_clip
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.stored_features import load_features
from cico_platform.schemas.features import FEATURES_SCHEMA
from cico_platform.settings import OnProgress

Begin = Callable[[], None]


def plain_loop(task: Task, begin: Begin) -> Work:
    """Clip after clip in this process: decode, cut windows, encode; one Parquet file at the end."""
    corpus = Corpus(task.folder / "corpus")
    begin()

    def run() -> Outputs:
        encoder, _ = load_sign_encoder(task.folder / "encoder")
        fast = optimize_for_inference(encoder, "auto", threads=task.threads)
        rows: list[dict[str, Any]] = []
        for clip in corpus.clips():
            frames = decode_clip(corpus.resolve(clip), size=encoder.config.resize).frames
            starts = window_starts(len(frames))
            chosen = [starts[i] for i in select_windows(len(starts), MAX_WINDOWS)]
            (output,) = fast.encode([frames], [chosen])
            features = np.asarray(output.embedding, dtype=np.float16)
            row = {"video_id": clip.video_id, "encoder_id": "encoder", "window_starts": chosen}
            rows.append({**row, "dim": features.shape[1], "features": features.ravel()})
        pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES_SCHEMA), task.folder / "plain.parquet")
        stacked = np.concatenate([row["features"].reshape(-1, row["dim"]) for row in rows])
        return {"features": stacked.astype(np.float32)}

    return Work(run, lambda: None)


def ray_data(task: Task, begin: Begin) -> Work:
    """The same by `cico features`, with the workers that the task names; not counting the start of Ray."""
    begin()

    def run() -> Outputs:
        with own_ray():
            began = time.perf_counter()
            outputs = _features(task, _emptied(task))
            return {**outputs, "seconds": np.array(time.perf_counter() - began)}

    return Work(run, lambda: None)


def throughput(task: Task, begin: Begin) -> Work:
    """The same without the start: the time of all clips at the pace from the first finished batch on."""
    keep_to_cores(task.values["cores"])
    begin()

    def run() -> Outputs:
        reports: list[tuple[float, int]] = []

        def note(done: int, total: int, /, **_: object) -> None:
            reports.append((time.perf_counter(), done))

        with own_ray():
            outputs = _features(task, _emptied(task), note)
        reached = [report for report in reports if report[1]]
        # So few clips may all come in one batch: then the start is in it.
        (began, first), (ended, last) = reached[0] if len(reached) > 1 else reports[0], reached[-1]
        return {**outputs, "seconds": np.array((ended - began) * last / (last - first))}

    return Work(run, lambda: None)


def first_run(task: Task, begin: Begin) -> Work:
    """`cico features` on a corpus that it has not seen."""
    return ray_data(task, begin)


def second_run(task: Task, begin: Begin) -> Work:
    """`cico features` where its result is there already."""
    begin()
    out = _emptied(task)

    def warm_up() -> None:
        connect()
        _features(task, out)

    return Work(lambda: _features(task, out), warm_up)


def _emptied(task: Task) -> Path:
    out = task.folder / f"features-{task.values['side']}"
    shutil.rmtree(out, ignore_errors=True)
    return out


def _features(task: Task, out: Path, on_progress: OnProgress | None = None) -> Outputs:
    names = ("actors", "threads", "decoders")
    given = {n: task.values[n] for n in names if n in task.values}
    settings = FeatureSettings.model_validate({**given, "here": 0})  # however few clips: this is about Ray
    extract_features(task.folder / "corpus", [task.folder / "encoder"], None, out, settings, on_progress)
    return {"features": np.concatenate(load_features(out).values).astype(np.float32)}
