"""Inputs of an index of drawn clips: a manifest, random features, and a model with drawn weights."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.benchmarks.scale.drawn_features import WORDS, names_of
from cico_platform.benchmarks.scale.drawn_manifest import draw_manifest
from cico_platform.pipelines.ledgers import write_clips
from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.schemas.features import FEATURES_SCHEMA, ClipFeatures, features_table
from cico_platform.schemas.ledger import DONE, LedgerRow, ledger_table
from cico_platform.steps import write_json

# Windows of a clip, the width of their features, and of the tokens that they become.
WINDOWS, FEATURE_DIM, TOKEN_DIM = 36, 256, 128
CONFIG = replace(TOWERS["small"], feature_dim=FEATURE_DIM, embed_dim=TOKEN_DIM)
CLIPS_PER_SHARD, CLIPS_PER_GROUP = 8192, 64
ENCODER, FRAMES_BETWEEN = "drawn", 4


class Inputs(NamedTuple):
    """Folders of a corpus, its features and a retrieval model."""

    corpus: Path
    features: Path
    model: Path


def draw_inputs(folder: Path, clips: int, seed: int = 0) -> Inputs:
    """Write the inputs of `cico index` for so many clips: 18 KB a clip."""
    made = Inputs(draw_manifest(folder / "corpus", clips), folder / "features", folder / "model")
    torch.manual_seed(seed)
    save_retrieval_model(made.model, RetrievalModel(CONFIG, CorpusTokenizer.train([" ".join(WORDS)])).eval())
    (folder / "encoder").mkdir()
    write_json(folder / "encoder" / "none.json", {})  # an index copies it, and nobody asks it anything here
    _write_features(made.features, folder / "encoder", clips, np.random.default_rng(seed))
    return made


def _write_features(folder: Path, encoder: Path, clips: int, rng: np.random.Generator) -> None:
    folder.mkdir()
    names = names_of(clips)
    for number, first in enumerate(range(0, clips, CLIPS_PER_SHARD)):
        path = folder / f"part-{number:05d}.parquet"
        with pq.ParquetWriter(path, FEATURES_SCHEMA, compression="none") as writer:
            last = min(first + CLIPS_PER_SHARD, clips)
            for begin in range(first, last, CLIPS_PER_GROUP):
                writer.write_table(_features(names[begin : min(begin + CLIPS_PER_GROUP, last)], rng))
    ledger = ledger_table([LedgerRow(name, f"key of {name}", DONE, windows=WINDOWS) for name in names])
    write_clips(folder, ledger, ENCODER, ENCODER)
    about = {"encoders": [{"id": ENCODER, "path": str(encoder)}], "alpha": 1.0, "dim": FEATURE_DIM}
    write_json(folder / INFO_FILE, about)


def _features(names: list[str], rng: np.random.Generator) -> pa.Table:
    values = rng.standard_normal((len(names), WINDOWS * FEATURE_DIM), dtype=np.float32).astype(np.float16)
    starts = list(range(0, WINDOWS * FRAMES_BETWEEN, FRAMES_BETWEEN))
    rows = [
        ClipFeatures(name, ENCODER, starts, [], own, False, False)
        for name, own in zip(names, values, strict=True)
    ]
    return features_table(rows, FEATURE_DIM)
