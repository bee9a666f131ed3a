"""`cico bench precision`: what a lower precision of the sign encoders changes in labels and in retrieval."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.config import MAX_WINDOWS, SignEncoderConfig
from cico_model.metrics import retrieval_metrics
from cico_model.model import RetrievalModel
from cico_model.pseudo_labels import CONFIDENCE_THRESHOLD
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_model.sign_encoder import SignOutput
from cico_platform.benchmarks.interleave import Say
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.rows import Row, compare, summary
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.encoding.mixing import mix_features, shares_of, stored_features
from cico_platform.encoding.sign_encoders import read_encoders
from cico_platform.errors import InputError
from cico_platform.pipelines.decode import decode_row, source_rows
from cico_platform.pipelines.embed import model_alpha
from cico_platform.pipelines.encoders import EncodingActor, EncodingSettings
from cico_platform.pipelines.encoding_run import CALIBRATION_CLIPS, middle_windows
from cico_platform.pipelines.stored_features import Features
from cico_platform.training.pairs import load_pairs, score_pairs

Precisions = tuple[str, ...]
PLAIN = "float32"
PRECISIONS: Precisions = (PLAIN, "bfloat16", "int8")
CLIPS_AT_ONCE = 16
QUICK_CLIPS = 32


@dataclass
class _Side:
    """What one precision says of the clips so far: both encoders' features, and the first one's classes."""

    actor: EncodingActor
    seconds: list[float] = field(default_factory=list)
    features: list[NDArray[np.float16]] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)


def bench_precision(work_dir: Path, settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Encode the test split of a finished demo in each precision, batch by batch in turns, and compare.

    Parameters
    ----------
    work_dir
        Of `cico demo`: its corpus, encoders and model are used.

    Returns
    -------
    dict
        `rows`, one a precision. `plain` is float32 by the same engine, both in windows/s. `difference` is
        that of the features. `labels`: `kept` (windows whose best class exceeds the mining threshold in
        float32) and `agreement`, the percent of them with the same best class. `retrieval`: R@1 both ways,
        and the `change` from float32, in points.

    Raises
    ------
    InputError
        If the folder holds no finished demo.
    """
    corpus, folders, model, alpha = _read(work_dir)
    config, _ = read_encoders(folders)
    clips = list(corpus.clips(split="test", labelled=False))[: QUICK_CLIPS if settings.quick else None]
    trained_on = list(corpus.clips(split="train", labelled=False))
    say(f"{len(clips)} clips of '{corpus.path}', {len(folders)} encoders, in {', '.join(PRECISIONS)}")
    sides = {}
    for precision in PRECISIONS:
        encoding = EncodingSettings.model_validate(
            # The windows that the model was trained on: a demo may use every second one.
            {
                "precision": precision,
                "threads": settings.threads,
                "stride": model.config.window_stride,
            }
        )
        calibration = _calibration(corpus, trained_on, config) if precision == "int8" else None
        sides[precision] = _Side(_actor(folders, encoding, calibration))
    names = _encode(corpus, clips, sides, alpha, say)
    return {
        "rows": _rows(corpus, names, sides, model, alpha),
        "machine": describe_machine(settings.threads),
        "quick": settings.quick,
    }


def _read(work_dir: Path) -> tuple[Corpus, list[str], RetrievalModel, float]:
    found = [work_dir / "encoders" / name for name in ("agnostic", "domain_aware")]
    folders = [str(folder) for folder in found if folder.is_dir()]
    if not folders or not (work_dir / "model").is_dir():
        raise InputError(f"'{work_dir}' holds no finished demo; run 'cico demo --work-dir {work_dir}' first")
    model = load_retrieval_model(work_dir / "model")
    alpha = model_alpha(work_dir / "model")
    return Corpus(work_dir / "corpus"), folders, model, 1.0 if alpha is None or len(folders) == 1 else alpha


def _actor(
    folders: Sequence[str], encoding: EncodingSettings, calibration: torch.Tensor | None
) -> EncodingActor:
    """The pipelines' encoder, without Ray around it."""
    return EncodingActor(folders, encoding, limit=MAX_WINDOWS, calibration=calibration, device="cpu")


def _calibration(corpus: Corpus, clips: Sequence[Clip], config: SignEncoderConfig) -> torch.Tensor | None:
    """Windows of a few clips, spread over the corpus, as the pipelines take them."""
    chosen = clips[:: max(1, len(clips) // (4 * CALIBRATION_CLIPS))]
    return middle_windows((decode_row(row, config.resize)[0] for row in source_rows(corpus, chosen)), config)


def _encode(
    corpus: Corpus, clips: Sequence[Clip], sides: dict[str, _Side], alpha: float, say: Say
) -> list[tuple[str, list[int]]]:
    """Let each side encode the clips; returns the names and windows of those that could be decoded."""
    config = sides[PLAIN].actor.config
    named: list[tuple[str, list[int]]] = []
    for first in range(0, len(clips), CLIPS_AT_ONCE):
        rows = source_rows(corpus, clips[first : first + CLIPS_AT_ONCE])
        decoded = [(row.video_id, decode_row(row, config.resize)[0]) for row in rows]
        videos = [(name, frames) for name, frames in decoded if frames is not None]
        starts = [sides[PLAIN].actor.starts(len(frames)) for _, frames in videos]
        for side in sides.values():
            began = time.perf_counter()
            outputs = side.actor.encoders.encode([frames for _, frames in videos], starts)
            side.seconds.append((time.perf_counter() - began) / max(1, sum(map(len, starts))))
            side.features += [_mixed(encoded, alpha) for encoded in outputs]
            side.logits += [encoded[0].logits for encoded in outputs]
        named += [(name, found) for (name, _), found in zip(videos, starts, strict=True)]
        say(f"  {len(named)} of {len(clips)} clips")
    return named


def _mixed(encoded: list[SignOutput], alpha: float) -> NDArray[np.float16]:
    stored = [stored_features(output) for output in encoded]
    return mix_features(stored, shares_of(len(stored), alpha))


def _rows(
    corpus: Corpus,
    names: list[tuple[str, list[int]]],
    sides: dict[str, _Side],
    model: RetrievalModel,
    alpha: float,
) -> list[Row]:
    plain = sides[PLAIN]
    exact = torch.cat(plain.logits).softmax(dim=1).max(dim=1)
    kept = exact.values > CONFIDENCE_THRESHOLD
    rows: list[Row] = []
    for precision, side in sides.items():
        features = Features(
            [name for name, _ in names],
            [np.asarray(starts, dtype=np.int32) for _, starts in names],
            side.features,
            side.features[0].shape[1],
            alpha,
            [np.zeros((0, 2))] * len(names),
        )
        pairs = load_pairs(corpus.path, features, "test")
        metrics = retrieval_metrics(score_pairs(model, pairs), pairs.text_of_video)
        found = {f"{way}_R@1": round(metrics[way]["R@1"], 2) for way in ("t2v", "v2t")}
        same = torch.cat(side.logits).argmax(dim=1) == exact.indices
        both = [(np.concatenate(plain.features), np.concatenate(side.features))]
        before = rows[0]["retrieval"] if rows else found
        row: Row = {
            "name": precision,
            "size": f"{len(names)} clips, {len(same)} windows",
            "plain": summary(plain.seconds, "windows/s"),
            "ours": summary(side.seconds, "windows/s"),
            "difference": compare(both, both),
            "labels": {
                "kept": int(kept.sum()),
                "agreement": round(100.0 * float(same[kept].float().mean()), 3) if kept.any() else None,
            },
            "retrieval": {
                **found,
                "change": {name: round(value - before[name], 2) for name, value in found.items()},
            },
        }
        row["ratio"] = round(row["ours"]["median"] / row["plain"]["median"], 2)
        rows.append(row)
    return rows
