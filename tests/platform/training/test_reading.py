"""A model reads windows and compares as it was trained to; a checkpoint to start from gives its size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cico_model.config import TOWERS
from cico_model.metrics import retrieval_metrics
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_platform.evaluation.evaluate import evaluate
from cico_platform.evaluation.ranks import rank_queries
from cico_platform.pipelines.stored_features import load_features
from cico_platform.training.pairs import load_pairs, score_pairs
from cico_platform.training.retrieval import RetrievalSettings, compared, fresh_model


def test_thinned_features_keep_values_and_starts_together(sign_features: Path) -> None:
    whole = load_features(sign_features)
    half = whole.strided(12)
    assert half.video_ids == whole.video_ids
    rows = zip(whole.window_starts, half.window_starts, whole.values, half.values, strict=True)
    for every, kept, values, thinned in rows:
        wanted = [i for i, start in enumerate(every) if start % 12 == 0 or start == every[-1]]
        assert kept.tolist() == every[wanted].tolist()
        np.testing.assert_array_equal(thinned, values[wanted])
    assert whole.strided(1) is whole


def test_a_model_is_scored_on_the_windows_of_its_own_stride(
    tiny_corpus: Path, sign_features: Path, tmp_path: Path
) -> None:
    read = load_features(sign_features)
    pairs = {stride: load_pairs(tiny_corpus, read.strided(stride), "train") for stride in (1, 12)}
    model = fresh_model(pairs[1], read.dim, RetrievalSettings(stride=12)).eval()
    save_retrieval_model(tmp_path / "model", model, {"alpha": 1.0})
    found = {s: retrieval_metrics(score_pairs(model, p), p.text_of_video) for s, p in pairs.items()}
    assert found[12] != found[1], "the stride has to matter for this test"
    report = evaluate(tiny_corpus, sign_features, tmp_path / "model", "train", tmp_path / "report").details
    ranks = rank_queries(tiny_corpus, sign_features, tmp_path / "model", "train", tmp_path / "ranks")
    for way in ("t2v", "v2t"):
        assert report[way]["MeanR"] == pytest.approx(found[12][way]["MeanR"], abs=0.01)
        assert ranks[way].mean() == pytest.approx(found[12][way]["MeanR"])


def test_a_checkpoint_to_start_from_gives_its_size_and_the_settings_the_rest() -> None:
    start = replace(TOWERS["small"], pooling="fine", temperature=0.07, window_stride=1, mask_padding=False)
    settings = RetrievalSettings(
        size="tiny", pooling="class", temperature=0.2, stride=4, design="depart", weight=0.25, dropout=0.3
    )
    assert compared(start, settings) == replace(
        start, pooling="class", temperature=0.2, window_stride=4, design="depart", weight=0.25, dropout=0.3
    )
