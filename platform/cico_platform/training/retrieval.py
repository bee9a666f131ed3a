"""Training of the retrieval model: cross-lingual contrastive learning of two towers (paper, section 3)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from pydantic import Field

from cico_model.config import TOWERS, TowerConfig
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model, save_retrieval_model
from cico_model.similarity import LEAST_TEMPERATURE
from cico_model.text import ClipTokenizer, CorpusTokenizer, TextTokenizer
from cico_platform.cluster import connect
from cico_platform.corpus.manifest import MANIFEST_FILE, Corpus
from cico_platform.errors import InputError
from cico_platform.pipelines.stored_features import read_info
from cico_platform.settings import OnProgress, Settings
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute, on_this_machine, place, working_copy
from cico_platform.tracking.trackers import TrackingSettings, tracked
from cico_platform.training.data.feature_rows import FeatureRows
from cico_platform.training.data.feature_source import describe_source
from cico_platform.training.data.feature_store_files import LeftOut
from cico_platform.training.pairs import Pairs, PairSource, load_pairs, sentence_rows
from cico_platform.training.retrieval_loop import train_loop
from cico_platform.training.runs import OnRow, RunSettings, check_workers, clean_up, run_training

STAGE = "train-retrieval"
METRICS_FILE = "metrics.json"
# Windows that the mean and the deviation of the features are estimated from: 256 MiB at the paper's width.
MOST_WINDOWS = 1 << 16


class RetrievalSettings(Settings):
    """How a retrieval model is trained.

    Attributes
    ----------
    size
        One of `TOWERS`; with `init`, the checkpoint's size counts, all else is as set here.
    pooling
        "fine": sign-to-word similarity (the paper); "mean": the mean of a side's tokens; "class": the video's
        class token and the text's end token.
    design, weight, temperature
        Of the loss and the score (`cico_model.retrieval_loss`).
    tokenizer
        "corpus": trained on the training texts; "clip": CLIP's; "auto": CLIP's for the paper's size.
    alpha
        Share of the first encoder's features; None takes that of the features.
    stride
        Frames from one window to the next (method 2): of features that were extracted at a smaller stride,
        the windows nearest to those that extraction at this one would give. The model remembers it.
    batch_size
        Pairs of all workers together.
    optimizer
        "adamw", or "published" (method 7) for imported weights.
    augment
        Swap two words of a text, with this probability; 0 never.
    drop_windows, noise
        Feature augmentation: part of the windows that is hidden; noise in units of the features' deviation.
    evaluate_every
        Epochs between validations; the best by R@1 both ways is kept. The last epoch is always validated.
    precision
        "auto": autocast to bfloat16 on GPUs that have it, float32 elsewhere; the loss is always in float32.
    piece
        Pairs that a worker encodes at a time where a batch does not fit into its memory: every pair is
        encoded twice, the gradient is that of the whole batch (`cico_model.accumulation`). 0: all at once.
    run
        Workers, checkpoints and what else does not change what is trained.
    tracking
        Where the figures go while it trains.
    """

    size: Literal["paper", "small", "tiny"] = "tiny"
    pooling: Literal["fine", "mean", "class"] = "fine"
    design: Literal["balance", "depart"] = "balance"
    weight: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=0.07, ge=LEAST_TEMPERATURE)
    tokenizer: Literal["auto", "corpus", "clip"] = "auto"
    vocab_size: int = Field(default=2000, ge=600)
    alpha: float | None = Field(default=None, ge=0, le=1)
    stride: int = Field(default=1, ge=1)
    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=64, ge=2)
    optimizer: Literal["adamw", "published"] = "adamw"
    lr: float = Field(default=7e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    augment: float = Field(default=0.5, ge=0, le=1)
    augment_kind: Literal["swap", "deletion"] = "swap"
    drop_windows: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0)
    evaluate_every: int = Field(default=10, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    piece: int = Field(default=0, ge=0)
    seed: int = 0
    run: RunSettings = RunSettings()
    tracking: TrackingSettings = TrackingSettings()

    @classmethod
    def published(cls) -> "RetrievalSettings":
        """Training as the paper does it (method 7)."""
        return cls(
            size="paper", epochs=200, batch_size=512, optimizer="published", lr=1e-5, weight_decay=1e-3,
            dropout=0.0, drop_windows=0.0, evaluate_every=1,
        )  # fmt: skip

    def decisive(self) -> dict[str, Any]:
        """The settings that change what comes out."""
        return self.model_dump(exclude={"run", "tracking"})


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
        If there is nothing to train on, or the features' width is not that of `init`.
    """
    settings = settings or RetrievalSettings()
    check_workers(settings.run.workers, settings.batch_size)
    info, source = read_info(features), Corpus(corpus)
    start = None if init is None else _load(init)
    if start is not None and start.config.feature_dim != info["dim"]:
        wanted = start.config.feature_dim
        raise InputError(
            f"'{init}' takes features of width {wanted}; those of '{features}' have {info['dim']}"
        )
    if info["stride"] > settings.stride:
        raise InputError(
            f"the windows of '{features}' are {info['stride']} frames apart: train with "
            f"--set stride={info['stride']}, or extract features with --stride {settings.stride}"
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
    has_validation = len(sentence_rows(corpus.path, "validation")) > 0
    if has_validation:
        load_pairs(corpus.path, loaded, "validation")  # without features, it fails here
    model = fresh_model(train, loaded.dim, settings) if start is None else start
    model.config = compared(model.config, settings)
    config = {
        "settings": settings,
        "config": model.config,
        "tokenizer": model.tokenizer,
        "weights": ray.put(model.state_dict()),
        "train": PairSource(absolute(corpus.path), described, "train"),
        "validation": PairSource(absolute(corpus.path), described, "validation") if has_validation else None,
    }
    state = run_training(train_loop, config, folder, key, settings.run, on_progress, on_row)
    model.load_state_dict(state["best"])
    details = _details(state) | _left_out(loaded.left_out)
    kept = settings.model_dump(exclude={"tracking"})  # a server's address may hold a password
    about = {"settings": kept, "alpha": loaded.alpha, "features": read_info(features)}
    save_retrieval_model(local, model, {**about, **details})
    write_json(local / METRICS_FILE, {**details, "settings": kept, "history": state["history"]})
    clean_up(folder)
    clips = len(sentence_rows(corpus.path, "train"))
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
        "best_epoch": state["best_epoch"],
        "loss": state["history"][-1]["loss"],
        "validation": {name: state["best_metrics"][name] for name in sorted(state["best_metrics"])},
    }
