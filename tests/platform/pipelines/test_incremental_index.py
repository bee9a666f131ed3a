"""An index follows its corpus clip by clip, and a new model goes live beside the old one."""

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_collections import make_model, points
from tiny_corpus import MICRO, write_corpus, write_encoder

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_model.text_cleaning import clean_text
from cico_platform.corpus.manifest import Clip, Corpus, write_manifest
from cico_platform.encoding.texts import encode_texts
from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex, open_index, previous_of
from cico_platform.index.forgetting import forget
from cico_platform.index.serving_info import ServingInfo, known_collections, live_serving
from cico_platform.index.text_writer import TextCounts
from cico_platform.index.texts import all_parts, text_key, text_part, texts_of
from cico_platform.index.token_storage import TokenStorage
from cico_platform.index.writer import IndexWriter, roll_back
from cico_platform.pipelines import index_texts
from cico_platform.pipelines.features import extract_features
from cico_platform.pipelines.index_texts import write_texts
from cico_platform.pipelines.indexing import Check, build_index, reindex
from cico_platform.steps import Summary

pytestmark = pytest.mark.usefixtures("ray_cluster")


def save_model(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = replace(TOWERS["tiny"], feature_dim=MICRO.feature_dim)
    model = RetrievalModel(config, CorpusTokenizer.train(["red green blue white"])).eval()
    save_retrieval_model(folder, model, {"alpha": 1.0})
    return folder


def held(index: VectorIndex, collection: str) -> dict[str, dict[str, object]]:
    return {hit.video_id: hit.payload for hit in index.fetch(collection)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, list[Clip]]:
    """A corpus, its features, a folder for models, and its sentences."""
    folder = tmp_path_factory.mktemp("incremental")
    corpus = write_corpus(folder / "corpus", train=4, damaged=False)
    sentences = [clip for clip in Corpus(corpus).clips() if clip.label is None]
    sentences[0] = replace(sentences[0], signer="Zoe Withdraws")
    write_manifest(corpus, sentences)
    extract_features(corpus, [str(write_encoder(folder / "encoder"))], 1.0, folder / "features")
    for seed in (0, 1):
        save_model(folder / f"model-{seed}", seed)
    return corpus, folder / "features", folder, sentences


@pytest.fixture(scope="module")
def built(made: tuple[Path, Path, Path, list[Clip]]) -> tuple[Path, Summary]:
    """The index of all sentences with the first model; to be copied."""
    corpus, features, folder, sentences = made
    write_manifest(corpus, sentences)
    return folder / "index", build_index(corpus, features, folder / "model-0", folder / "index")


@pytest.fixture
def index_copy(built: tuple[Path, Summary], tmp_path: Path) -> str:
    shutil.copytree(built[0], tmp_path / "index")
    return str(tmp_path / "index")


@pytest.fixture
def corpus(made: tuple[Path, Path, Path, list[Clip]]) -> Iterator[Path]:
    yield made[0]
    write_manifest(made[0], made[3])


def test_what_changed_is_all_that_is_written(
    corpus: Path, made: tuple[Path, Path, Path, list[Clip]], built: tuple[Path, Summary], index_copy: str
) -> None:
    _, features, folder, sentences = made

    def run(clips: list[Clip]) -> tuple[int, int]:
        write_manifest(corpus, clips)
        summary = build_index(corpus, features, folder / "model-0", index_copy)
        with open_index(index_copy) as index:
            assert set(held(index, summary.details["collection"])) == {clip.video_id for clip in clips}
            said = {
                payload["text"] for payload in held(index, texts_of(live_serving(index).collection)).values()
            }
            assert said == {clean_text(clip.text) for clip in clips}
            assert live_serving(index).texts == len(said)
        return summary.done, summary.skipped

    total = len(sentences)
    assert (built[1].done, built[1].skipped) == (total, 0)
    assert run(sentences[1:]) == (0, total - 1)
    assert run(sentences[1:]) == (0, total - 1)
    assert run(sentences) == (1, total - 1)
    corrected = [replace(sentences[0], text="white white", signer="Zoe"), *sentences[1:]]
    assert run(corrected) == (1, total - 1)
    with open_index(index_copy) as index:
        live = index.alias("clips") or ""
        assert held(index, live)[sentences[0].video_id]["text"] == "white white"
        assert list(known_collections(index)) == [live]
    assert run(corrected[2:]) == (0, total - 2)
    with open_index(index_copy) as index:
        assert forget(index, signer="somebody").clips == total - 2
        assert index.count(index.alias("clips") or "") == 0
    summary = build_index(corpus, features, folder / "model-0", index_copy, even_forgotten=True)
    assert (summary.done, summary.details["forgotten"]) == (total - 2, 0)


def test_the_forgotten_do_not_come_back_with_the_manifest(
    corpus: Path, made: tuple[Path, Path, Path, list[Clip]], index_copy: str
) -> None:
    _, features, folder, sentences = made
    with open_index(index_copy) as index:
        assert forget(index, signer="Zoe Withdraws").clips == 1
    for model in ("model-0", "model-1"):
        summary = build_index(corpus, features, folder / model, index_copy)
        assert summary.details["forgotten"] == 1
        with open_index(index_copy) as index:
            assert sentences[0].video_id not in held(index, summary.details["collection"])


def test_another_model_goes_live_once_it_finds_as_much_and_the_old_one_comes_back(
    corpus: Path, made: tuple[Path, Path, Path, list[Clip]], built: tuple[Path, Summary], index_copy: str
) -> None:
    _, _, folder, sentences = made
    where, first = index_copy, built[1].details["collection"]
    same = reindex(corpus, None, folder / "model-0", where)
    assert (same.done, same.details["collection"]) == (0, first)
    with pytest.raises(CicoError, match=r"the old one stays live.*--force"):
        reindex(corpus, None, folder / "model-1", where, check=Check(min_kept=1.01))
    with open_index(where) as reader:  # as a service holds it
        assert reader.alias("clips") == first
        assert reader.count(first) == len(sentences)
        summary = reindex(corpus, None, folder / "model-1", where, check=Check(min_kept=1.01, force=True))
        assert reader.alias("clips") == summary.details["collection"] != first
        assert reader.count(first) == len(sentences)
    assert (summary.done, summary.skipped) == (0, len(sentences))  # the first try wrote them
    assert summary.details["probes"]["probes"] > 0
    with open_index(where) as index:
        models = {payload["model_id"] for payload in held(index, summary.details["collection"]).values()}
        assert len(models) == 1
        assert models.isdisjoint(payload["model_id"] for payload in held(index, first).values())
        assert index.alias(previous_of("clips")) == first
        assert roll_back(index) == first
    again = reindex(corpus, None, folder / "model-1", where, check=Check(force=True))
    assert (again.done, again.details["collection"]) == (0, summary.details["collection"])


def test_how_tokens_are_kept_stays_unless_it_is_said(
    corpus: Path, made: tuple[Path, Path, Path, list[Clip]], tmp_path: Path
) -> None:
    _, features, folder, _ = made
    where = str(tmp_path / "index")
    build_index(corpus, features, folder / "model-0", where, storage=TokenStorage("scalar", 2))
    reindex(corpus, None, folder / "model-1", where, check=Check(force=True), merge=3)
    with open_index(where) as index:
        live = live_serving(index)
    assert (live.quantization, live.merge) == ("scalar", 3)


@pytest.mark.parametrize("engine", ["embedded", "server"])
def test_workers_write_the_texts_of_a_server_and_encode_those_of_an_embedded_index(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server two workers, each for some parts; all texts are of these parts."""
    groups = [all_parts()[:64], all_parts()[64:128]]
    monkeypatch.setattr(index_texts, "CLIPS_HERE", 0)
    monkeypatch.setattr(index_texts, "A_TASK", 16)
    monkeypatch.setattr(index_texts, "groups_of_parts", lambda clips: groups)
    model = make_model(tmp_path / "model", 16)
    info = ServingInfo("clips-1", 16, str(tmp_path / "model"), (), 1.0, "small")
    drawn = (f"the boy reads book {i}" for i in itertools.count())
    in_parts = (text for text in drawn if text_part(text_key(text) or "") in {*groups[0], *groups[1]})
    chosen = list(itertools.islice(in_parts, 80))
    said = {f"clip-{i}": chosen[i // 2] for i in range(160)}
    where = request.getfixturevalue("server_url") if engine == "server" else str(tmp_path / "index")
    with open_index(where) as index:
        writer = IndexWriter(index, info)
        writer.add(points(model, said))
        writer.flush()
        assert write_texts(index, info, model) == TextCounts(texts=80, encoded=80)
        held = {hit.payload["text"]: hit for hit in index.fetch(texts_of("clips-1"), tokens=True)}
        assert held.keys() == set(chosen)
        for query, text in zip(encode_texts(model, list(held)), held, strict=True):
            assert held[text].payload["signer"] == ["A", "B"]
            np.testing.assert_allclose(held[text].tokens, query.tokens, atol=2e-3)
        assert write_texts(index, info) == TextCounts(texts=80)
