"""`cico bench precision` tells what a lower precision changes, on a finished demo."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn_encoders import steady_encoder
from tiny_corpus import LABELS, MICRO

from cico_model import CorpusTokenizer, RetrievalModel, save_retrieval_model, save_sign_encoder
from cico_model.clips import window_starts
from cico_model.config import TOWERS
from cico_model.precision import supports_bfloat16
from cico_platform.benchmarks.precision import PRECISIONS, bench_precision
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import InputError

STRIDE = 2


@pytest.fixture
def finished_demo(tiny_corpus: Path, tmp_path: Path) -> Path:
    """The folders of a demo that `bench precision` reads; its model was trained on every second window."""
    work = tmp_path / "demo"
    work.mkdir()
    (work / "corpus").symlink_to(tiny_corpus)
    for name, seed in (("agnostic", 1), ("domain_aware", 2)):
        save_sign_encoder(work / "encoders" / name, steady_encoder(len(LABELS), MICRO, seed), LABELS, {})
    width = MICRO.feature_dim
    texts = [clip.text for clip in Corpus(tiny_corpus).clips(labelled=False)]
    torch.manual_seed(0)
    config = replace(TOWERS["tiny"], feature_dim=width, window_stride=STRIDE)
    model = RetrievalModel(config, CorpusTokenizer.train(texts, 600))
    save_retrieval_model(work / "model", model, {"alpha": 0.5})
    return work


@pytest.mark.slow
def test_each_precision_is_compared_with_float32(finished_demo: Path) -> None:
    said: list[str] = []
    report = bench_precision(finished_demo, BenchSettings(threads=1), said.append)
    rows = {row["name"]: row for row in report["rows"]}
    assert tuple(rows) == PRECISIONS
    exact, lower = rows["float32"], rows["int8"]
    clips = list(Corpus(finished_demo / "corpus").clips(split="test", labelled=False))
    windows = sum(len(window_starts(clip.frames or 0, STRIDE)) for clip in clips)
    assert exact["size"] == f"{len(clips)} clips, {windows} windows"
    assert exact["difference"]["max_abs"] == 0
    assert exact["labels"]["agreement"] in (100.0, None)
    assert exact["retrieval"]["change"] == {"t2v_R@1": 0.0, "v2t_R@1": 0.0}
    assert 0.9 < lower["difference"]["cosine"] < 1
    half = rows["bfloat16"]["difference"]["max_abs"]
    assert lower["difference"]["max_abs"] > half
    assert (half > 0) == supports_bfloat16()  # a processor without it computes in float32 instead
    for row in rows.values():
        change = row["retrieval"]["t2v_R@1"] - exact["retrieval"]["t2v_R@1"]
        assert row["retrieval"]["change"]["t2v_R@1"] == pytest.approx(change)
        assert row["ours"]["unit"] == "windows/s"
    assert said


def test_a_folder_without_a_demo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished demo"):
        bench_precision(tmp_path, BenchSettings(), print)
