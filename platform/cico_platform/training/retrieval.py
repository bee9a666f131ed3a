"""Training of the retrieval model: cross-lingual contrastive learning of two towers (paper, section 3)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from cico_model.config import TOWERS, TowerConfig
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model, save_retrieval_model
from cico_model.text import ClipTokenizer, CorpusTokenizer, TextTokenizer
from cico_platform.cluster import connect
from cico_platform.corpus.manifest import MANIFEST_FILE, Corpus
from cico_platform.errors import InputError
from cico_platform.pipelines.changed_clips import check_unchanged
from cico_platform.pipelines.stored_features import read_info
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute, on_this_machine, place, working_copy
from cico_platform.tracking.trackers import tracked
from cico_platform.training.data.feature_rows import FeatureRows
from cico_platform.training.data.feature_source import describe_source
from cico_platform.training.data.feature_store_files import LeftOut
from cico_platform.training.pairs import Pairs, PairSource, load_pairs
from cico_platform.training.retrieval_settings import RetrievalSettings as RetrievalSettings
from cico_platform.training.run_settings import check_workers
from cico_platform.training.runs import OnRow, clean_up, run_training
from cico_platform.training.tasks.retrieval import RetrievalRun, train_loop

STAGE = "train-retrieval"
METRICS_FILE = "metrics.json"
# Windows that the mean and the deviation of the features are estimated from: 256 MiB at the paper's width.
MOST_WINDOWS = 1 << 16


def train_retrieval(
    corpus: str | Place,
    features: str | Place,
    out: str | Place,
    settings: RetrievalSettings | None = None,
    init: str | Place | None = None,
    on_progress: OnProgress | None = None,
    on_row: Sequence[OnRow] = (),
) -> Summary:
    """Train a retrieval model on Ray Train; `out` becomes its checkpoint, with `metrics.json`.

    The model is chosen on the validation split; without one, it is the last epoch's.

    Parameters
    ----------
    features
        Folder that `extract_features` wrote.
    init
        Retrieval checkpoint to start from.
    on_row
        Told each row of metrics: `step`, `epoch`, `loss`, `lr`, `samples_per_second`, `workers`, validation.

    Returns
    -------
    Summary
        Pairs trained on; skipped: training clips without features. Details: `epochs`, `best_epoch`, `loss`,
        `validation` (R@1 both ways), and `unusable_features` where clips were left out because of theirs.

    Raises
    ------
    InputError
        If there is nothing to train on, clips have changed since their features were computed, or the
        features' width is not that of `init`.
    """
    settings = settings or RetrievalSettings()
    check_workers(settings.run.workers, settings.batch_size)
    info, source = read_info(features), Corpus(corpus)
    check_unchanged(corpus, features, "cico features")
    start = None if init is None else _load(init)
    if start is not None and start.config.feature_dim != info.dim:
        wanted = start.config.feature_dim
        raise InputError(f"'{init}' takes features of width {wanted}; those of '{features}' have {info.dim}")
    if info.stride > settings.stride:
        raise InputError(
            f"the windows of '{features}' are {info.stride} frames apart: train with "
            f"--set stride={info.stride}, or extract features with --stride {settings.stride}"
        )
    key = content_key(
        step=STAGE,
        manifest=fingerprint(source.path / MANIFEST_FILE),
        features=fingerprint(features),
        init=init and fingerprint(init),
        settings=settings.decisive(),
    )

    def body(folder: Place) -> Summary:
        with working_copy(folder) as local, tracked(local, place(out).name, settings) as track:
            rows = [track, *on_row]
            return _train(folder, local, key, source, features, settings, start, on_progress, rows)

    return run_step(out, STAGE, key, body)


def _load(folder: str | Place) -> RetrievalModel:
    try:
        return load_retrieval_model(on_this_machine(folder))
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{error}; --init takes a retrieval model") from error


def _train(
    folder: Place,
    local: Path,
    key: str,
    corpus: Corpus,
    features: str | Place,
    settings: RetrievalSettings,
    start: RetrievalModel | None,
    on_progress: OnProgress | None,
    on_row: Sequence[OnRow],
) -> Summary:
    connect()
    described = describe_source(features, settings.alpha, settings.stride, settings.run.store)
    loaded = described.open(lambda note: on_progress(0, 0, note=note) if on_progress else None)
    train, workers = load_pairs(corpus.path, loaded, "train"), settings.run.workers
    if len(train.texts) < workers:
        raise InputError(f"{len(train.texts)} training texts are too few for {workers} workers")
    has_validation = corpus.count("validation") > 0
    if has_validation:
        load_pairs(corpus.path, loaded, "validation")  # without features, it fails here
    model = fresh_model(train, loaded.dim, settings) if start is None else start
    model.config = compared(model.config, settings)
    held_out = PairSource(absolute(corpus.path), described, "validation") if has_validation else None
    run = RetrievalRun(
        settings,
        model.config,
        model.tokenizer,
        weights=ray.put(model.state_dict()),
        train=PairSource(absolute(corpus.path), described, "train"),
        validation=held_out,
    )
    state = run_training(train_loop, run, folder, key, settings.run, on_progress, on_row)
    model.load_state_dict(state["best"]["weights"])
    details = _details(state) | _left_out(loaded.left_out)
    kept = settings.model_dump(exclude={"tracking"})  # a server's address may hold a password
    about = {"settings": kept, "alpha": loaded.alpha, "features": read_info(features).model_dump()}
    save_retrieval_model(local, model, {**about, **details})
    write_json(local / METRICS_FILE, {**details, "settings": kept, "history": state["history"]})
    clean_up(folder)
    clips = corpus.count("train")
    return Summary(len(train), clips - len(train), 0, 0.0, details)


def fresh_model(pairs: Pairs, feature_dim: int, settings: RetrievalSettings) -> RetrievalModel:
    """A model to train from nothing; the same seed gives the same one."""
    wants_clip = settings.tokenizer == "clip" or (settings.tokenizer == "auto" and settings.size == "paper")
    tokenizer: TextTokenizer = (
        ClipTokenizer() if wants_clip else CorpusTokenizer.train(pairs.texts, settings.vocab_size)
    )
    config = compared(replace(TOWERS[settings.size], feature_dim=feature_dim), settings)
    torch.manual_seed(settings.seed)
    model = RetrievalModel(config, tokenizer)
    windows = torch.from_numpy(_sample_windows(pairs.features).astype(np.float32))
    # One deviation for all channels: a channel that hardly varies says little, and stays quiet.
    model.video.standardise_input(windows.mean(dim=0), windows.std(dim=0).mean().expand(feature_dim))
    return model


def _sample_windows(features: FeatureRows) -> NDArray[np.float16]:
    """Windows of all videos or, where there are more than `MOST_WINDOWS`, of videos spread evenly: [N, F]."""
    whole = int(features.windows().sum())
    videos = len(features) if whole <= MOST_WINDOWS else max(1, len(features) * MOST_WINDOWS // whole)
    chosen = np.linspace(0, len(features) - 1, videos).round().astype(np.int64)
    return np.concatenate([features[int(index)] for index in chosen])


def compared(config: TowerConfig, settings: RetrievalSettings) -> TowerConfig:
    """A model of the same size that reads, compares and trains as the settings say."""
    return replace(
        config,
        pooling=settings.pooling,
        window_stride=settings.stride,
        design=settings.design,
        weight=settings.weight,
        temperature=settings.temperature,
        dropout=settings.dropout,
    )


def _left_out(clips: LeftOut) -> dict[str, Any]:
    """Tell of clips whose features could not be used: how many, and why the first ones; nothing of none."""
    return {"unusable_features": {"clips": clips.count, "first": dict(clips.first)}} if clips.count else {}


def _details(state: dict[str, Any]) -> dict[str, Any]:
    return {
        "epochs": state["epoch"],
        "best_epoch": state["best"]["epoch"],
        "loss": state["history"][-1]["loss"],
        "validation": dict(sorted(state["best"]["metrics"].items())),
    }
