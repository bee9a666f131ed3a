"""Collections that need no videos: a clip's tokens are those of its text, a little disturbed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cico_model.config import TowerConfig
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.encoding.texts import encode_texts
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.writer import IndexWriter
from cico_platform.pipelines.index_texts import write_texts

WORDS = ("boy", "girl", "reads", "writes", "book", "letter", "garden", "school")


def texts(count: int = 24) -> dict[str, str]:
    """Texts of three words, by `video_id`."""
    rng = np.random.default_rng(0)
    return {f"clip-{i}": " ".join(rng.choice(WORDS, 3, replace=False)) + f" {i}" for i in range(count)}


def make_model(folder: Path, dim: int, seed: int = 0, feature_dim: int = 8) -> RetrievalModel:
    """A retrieval model with tokens of width `dim`, its weights drawn, saved."""
    torch.manual_seed(seed)
    config = TowerConfig(
        feature_dim=feature_dim,
        embed_dim=dim,
        video_width=16,
        video_layers=1,
        video_heads=2,
        text_width=32,
        text_layers=1,
        text_heads=2,
    )
    model = RetrievalModel(config, CorpusTokenizer.train([" ".join(WORDS)], vocab_size=300)).eval()
    save_retrieval_model(folder, model)
    return model


def points(model: RetrievalModel, said: Mapping[str, str], **payload: Any) -> list[IndexedClip]:
    """Clips that say these texts to this model, by signers A and B in turn."""
    rng, made = np.random.default_rng(1), []
    queries = encode_texts(model, list(said.values()))
    for number, (name, query) in enumerate(zip(said, queries, strict=True)):
        tokens = query.tokens + 0.01 * rng.normal(size=query.tokens.shape).astype(np.float32)
        known = {"text": said[name], "path": f"/videos/{name}.mp4", "signer": "AB"[number % 2], **payload}
        made.append(IndexedClip(name, tokens, known))
    return made


def write_collection(
    index: VectorIndex,
    name: str,
    folder: Path,
    model: RetrievalModel,
    encoders: tuple[str, ...] = (),
    **more: Any,
) -> None:
    """Fill a collection with the texts and make it live as "clips"; who serves it needs sign encoders."""
    info = ServingInfo(name, model.config.embed_dim, str(folder), encoders, 1.0, "small")
    with IndexWriter(index, info) as writer:
        writer.add(points(model, texts(), model_id=name, **more))
        writer.flush()
        write_texts(index, info, model)
