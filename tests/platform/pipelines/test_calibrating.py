"""A collection learns from its validation clips what its scores mean, or claims nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.encoding.texts import encode_texts
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clips import IndexedClip
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.index.writer import IndexWriter
from cico_platform.pipelines.calibrating import MIN_QUERIES, calibrate_collection
from cico_platform.pipelines.index_texts import write_texts

WORDS = ("boy", "girl", "dog", "reads", "writes", "eats", "book", "letter", "apple", "garden", "school")
TEXTS = [f"the {a} {b} a {c}" for a in WORDS[:3] for b in WORDS[3:6] for c in WORDS[6:]]


@pytest.fixture(scope="module")
def model() -> RetrievalModel:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return RetrievalModel(TOWERS["tiny"], CorpusTokenizer.train(TEXTS)).eval()


def fill(writer: IndexWriter, model: RetrievalModel, noise: float, validation: int) -> None:
    """Clips whose tokens are those of their sentence, more or less."""
    rng = np.random.default_rng(0)
    clips = []
    for number, query in enumerate(encode_texts(model, TEXTS)):
        unit = query.tokens / np.linalg.norm(query.tokens, axis=1, keepdims=True)
        tokens = unit + noise * rng.normal(size=unit.shape) / np.sqrt(unit.shape[1])
        split = "validation" if number < validation else "train"
        payload = {"text": TEXTS[number], "split": split, "path": "/v.mp4"}
        clips.append(IndexedClip(f"c{number}", tokens.astype(np.float32), payload))
    write(writer, model, clips)


def write(writer: IndexWriter, model: RetrievalModel, clips: list[IndexedClip]) -> None:
    """The clips with their texts."""
    writer.add(clips)
    writer.flush()
    write_texts(writer.index, writer.info, model)


def writer_on(index: VectorIndex, folder: Path, model: RetrievalModel) -> IndexWriter:
    save_retrieval_model(folder / "model", model)
    info = ServingInfo("clips-1", model.config.embed_dim, str(folder / "model"), (), 1.0, "drawn")
    return IndexWriter(index, info)


def test_scores_that_tell_become_probabilities_that_search_gives(
    model: RetrievalModel, tmp_path: Path
) -> None:
    with open_index(str(tmp_path / "index")) as index:
        with writer_on(index, tmp_path, model) as writer:
            fill(writer, model, noise=0.5, validation=40)
            found = calibrate_collection(index, "clips-1", model.config)
            writer.info = replace(writer.info, calibrations=found)
        assert set(found) == {"text", "video"}
        assert live_serving(index).calibrations == found
    for known, queries in ((found["text"], 40), (found["video"], 40)):
        assert known.queries == queries
        assert known.slope > 0
        assert known.precision > 0.6
        assert known.recall > 0.6
    with Searcher.open(tmp_path / "index") as searcher:
        rows = searcher.by_text(TEXTS[0], 3)
        assert rows[0]["video_id"] == "c0"
        assert rows[0]["probability"] == pytest.approx(found["text"].probability(rows[0]["score"]), abs=1e-3)
        assert rows[0]["probability"] > rows[2]["probability"]
        assert searcher.nothing_fits("text", rows) is not found["text"].fits(rows[0]["score"])
        assert searcher.nothing_fits("text", []) is True


def test_too_few_validation_clips_give_none(model: RetrievalModel, tmp_path: Path) -> None:
    with open_index(str(tmp_path / "index")) as index:
        writer = writer_on(index, tmp_path, model)
        fill(writer, model, noise=0.5, validation=MIN_QUERIES - 1)
        assert calibrate_collection(index, "clips-1", model.config) == {}


def test_scores_that_tell_nothing_give_none(model: RetrievalModel, tmp_path: Path) -> None:
    """Every clip has the same tokens: each sentence scores alike with all of them."""
    with open_index(str(tmp_path / "index")) as index:
        writer = writer_on(index, tmp_path, model)
        tokens = np.ones((3, model.config.embed_dim), np.float32)
        clips = [
            IndexedClip(f"c{n}", tokens, {"text": text, "split": "validation"})
            for n, text in enumerate(TEXTS)
        ]
        write(writer, model, clips)
        assert "video" not in calibrate_collection(index, "clips-1", model.config)
