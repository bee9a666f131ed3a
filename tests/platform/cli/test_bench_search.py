"""`cico bench search`: the stages are judged by the exact ranking, on clips of a finished demo."""

from pathlib import Path

import numpy as np
import pytest
import torch
from qdrant_stand_in.contents import collections_of
from word_features import DIM, write_word_features

from cico_model import CorpusTokenizer, RetrievalModel, save_retrieval_model
from cico_model.config import TowerConfig
from cico_model.ragged import ragged_scores
from cico_platform.benchmarks.drawn_tokens import BLOCK, DrawnTokens, drawn_config, write_drawn
from cico_platform.benchmarks.search import bench_search, bench_server_search
from cico_platform.benchmarks.search_material import choose_queries, read_demo, read_material, write_material
from cico_platform.benchmarks.search_plot import plot_search
from cico_platform.benchmarks.search_rows import recall
from cico_platform.benchmarks.search_sides import exact_scores
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import InputError
from cico_platform.index.candidates import LEAST
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
    assert len(storages) == 6
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


def test_a_size_that_holds_no_ten_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--size is 20 or more"):
        bench_search(tmp_path, BenchSettings(), print, sizes=(5,), drawn=True)


def test_drawn_clips_need_no_demo(tmp_path: Path) -> None:
    settings = BenchSettings(quick=True, threads=1, repeats=1)
    report = bench_search(tmp_path / "nowhere", settings, print, sizes=(120,), drawn=True)
    (row,) = report["rows"]
    assert (row["name"], row["size"]) == ("search-120", "120 clips, drawn")
    assert row["search"]["recall@10"] == 1.0  # so few are all ranked exactly
    assert row["search"]["candidates"] == LEAST
    assert row["search"]["ready_s"] > 0
    assert list(tmp_path.iterdir()) == []


def test_an_index_on_a_server_counts_what_it_moves(qdrant_url: str) -> None:
    settings = BenchSettings(quick=True, threads=1, repeats=1)
    (row,) = bench_server_search(qdrant_url, settings, print, sizes=(150,))["rows"]
    assert row["name"] == "server-150"
    assert row["search"]["recall@10"] == 1.0
    # A query of 1,024 numbers, a row number and a score for each clip, the payloads of ten: no tokens, which
    # would be 36 KB a clip.
    assert 4 * 1024 + 150 * 15 < row["search"]["bytes_per_search"] < 40_000
    assert not [name for name in collections_of(qdrant_url) if "bench" in name]


def test_larger_drawn_collections_begin_with_the_smaller_ones(tmp_path: Path) -> None:
    tokens = DrawnTokens.of(16, seed=3)
    for count in (30, BLOCK + 7):
        write_drawn(tokens, count, tmp_path / str(count))
    small, large = (read_material(tmp_path / str(count), 16) for count in (30, BLOCK + 7))
    assert (len(small.lengths), len(large.lengths)) == (30, BLOCK + 7)
    assert np.array_equal(small.clip(29), large.clip(29))
    assert not np.array_equal(large.clip(0)[:5], large.clip(BLOCK)[:5])
    assert np.array_equal(tokens.queries(9).tokens[4], DrawnTokens.of(16, seed=3).queries(9).tokens[4])


def test_drawn_sentences_find_their_clips(tmp_path: Path) -> None:
    """Every other query is a clip's sentence, which exact scoring ranks first."""
    tokens = DrawnTokens.of(64, seed=0)
    write_drawn(tokens, BLOCK, tmp_path)
    material, queries = read_material(tmp_path, 64), tokens.queries(8)
    said = {
        " ".join(f"sign{sign}" for sign in signs): i
        for i, signs in enumerate(next(tokens.blocks(BLOCK)).signs)
    }
    for text, query in list(zip(queries.texts, queries.tokens, strict=True))[1::2]:
        scores = exact_scores(material, query, drawn_config(64))
        assert int(scores.argmax()) == said[text]
