"""`cico bench search`: the stages are judged by the exact ranking, on clips of a finished demo."""

from pathlib import Path

import numpy as np
import pytest
import torch
from word_features import DIM, write_word_features

from cico_model import CorpusTokenizer, RetrievalModel, save_retrieval_model
from cico_model.config import TowerConfig
from cico_model.ragged import ragged_scores
from cico_platform.benchmarks.search import bench_search
from cico_platform.benchmarks.search_material import choose_queries, read_demo, read_material, write_material
from cico_platform.benchmarks.search_plot import plot_search
from cico_platform.benchmarks.search_rows import recall
from cico_platform.benchmarks.search_sides import exact_scores
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import InputError
from cico_platform.index.ranking import Stages


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `bench search` reads of a finished demo."""
    work = tmp_path_factory.mktemp("demo")
    corpus, _ = write_word_features(work)
    texts = [clip.text for clip in Corpus(corpus).clips(labelled=False)]
    torch.manual_seed(0)
    config = TowerConfig(
        feature_dim=DIM,
        embed_dim=32,
        video_width=32,
        video_layers=1,
        video_heads=4,
        text_width=32,
        text_layers=1,
        text_heads=4,
        vocab_size=300,
    )
    save_retrieval_model(work / "model", RetrievalModel(config, CorpusTokenizer.train(texts, 300)), {})
    return work


@pytest.mark.slow
def test_a_quick_run_says_what_the_stages_keep(demo: Path, tmp_path: Path) -> None:
    said: list[str] = []
    stages = Stages(candidates=600, rerank=600)
    report = bench_search(demo, BenchSettings(quick=True, threads=1), said.append, stages, storages=True)
    assert [row["name"] for row in report["rows"]] == ["search-200", "search-600"]
    for row in report["rows"]:
        assert row["search"]["recall@10"] == 1.0  # all are ranked exactly
        assert row["ratio"] > 0
        assert row["search"]["disk_mib"] > row["search"]["tokens_mib"] > 0
    ways = {way["name"]: way for way in report["first_stages"]}
    assert len(ways) == 6
    for way in ways.values():
        assert 0 < way["kept"][200] <= way["kept"][500] <= 1
    assert ways["encoding, 64 drawings"]["width"] == 2 * 64 * 4 * 2
    storages = {storage["name"]: storage for storage in report["storages"]}
    assert len(storages) == 7
    assert storages["half precision"]["recall@10"] == 1.0
    assert storages["4 merged"]["recall@10"] < 1.0
    assert storages["4 merged"]["disk_mib"] < storages["half precision"]["disk_mib"]
    for storage in storages.values():
        assert 0 <= storage["R@1"] <= 1
    plot_search(report, tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text()
    assert drawn.count('<g id="axes_') == 3
    with pytest.raises(InputError, match="can't draw"):
        plot_search(report, tmp_path / "plot.xls")


def test_stages_that_let_too_few_through_lose_some_of_the_ten(demo: Path) -> None:
    narrow = bench_search(
        demo, BenchSettings(quick=True, threads=1), print, Stages(candidates=12, rerank=10), (600,)
    )
    assert [row["name"] for row in narrow["rows"]] == ["search-600"]
    assert narrow["rows"][0]["search"]["recall@10"] < 1.0


def test_clips_are_made_alike_and_scored_exactly_in_blocks(demo: Path, tmp_path: Path) -> None:
    read = read_demo(demo)
    for name in ("a", "b"):
        write_material(read, 300, tmp_path / name, seed=3)
    one, two = (read_material(tmp_path / name, 32) for name in ("a", "b"))
    assert len(one.lengths) == 300
    assert np.array_equal(one.rows, two.rows)
    text = choose_queries(read, 3, seed=0).tokens[1]
    scores = exact_scores(one, text, read.model.config)
    alone = ragged_scores(one.clip(299), one.lengths[299:], text)
    assert scores[299] == pytest.approx(float(alone[0]), abs=1e-6)
    assert recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 5]])) == 0.75


def test_a_folder_without_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished demo"):
        bench_search(tmp_path, BenchSettings(), print)
