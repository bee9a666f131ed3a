"""Indexing makes every clip with features searchable, once."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny_corpus import MICRO, film, write_encoder, write_video

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.corpus.manifest import Corpus, write_manifest
from cico_platform.encoding.video_tokens import pad_rows
from cico_platform.errors import InputError
from cico_platform.index.base import open_index
from cico_platform.pipelines.embed import embed
from cico_platform.pipelines.features import extract_features
from cico_platform.pipelines.indexing import build_index
from cico_platform.pipelines.stored_features import load_features
from cico_platform.steps import Summary

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def made(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, RetrievalModel]:
    folder = tmp_path_factory.mktemp("indexing")
    encoders = [write_encoder(folder / f"encoder-{seed}", seed) for seed in (0, 1)]
    extract_features(tiny_corpus, list(encoders), 0.8, folder / "features")
    return folder / "features", folder / "model", save_model(folder / "model", MICRO.feature_dim)


@pytest.fixture(scope="module")
def embedded(
    made: tuple[Path, Path, RetrievalModel], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Summary]:
    """The tokens of the features, and the summary of making them."""
    tokens = tmp_path_factory.mktemp("embedded") / "tokens"
    return tokens, embed(made[0], made[1], tokens)


def save_model(folder: Path, feature_dim: int, **changes: object) -> RetrievalModel:
    torch.manual_seed(0)
    config = replace(TOWERS["tiny"], feature_dim=feature_dim, **changes)  # type: ignore[arg-type]
    model = RetrievalModel(config, CorpusTokenizer.train(["red green blue white"])).eval()
    save_retrieval_model(folder, model, {"alpha": 0.25})
    return model


def test_every_clip_is_a_point_with_the_models_tokens_and_its_manifest_row(
    tiny_corpus: Path, made: tuple[Path, Path, RetrievalModel], tmp_path: Path
) -> None:
    features, model_folder, model = made
    reported: list[tuple[int, int]] = []
    summary = build_index(
        tiny_corpus, features, model_folder, tmp_path / "index", on_progress=lambda *p: reported.append(p)
    )
    loaded = load_features(features, 0.25)  # the share that the model was trained with, not the features' own
    assert (summary.done, summary.quarantined) == (len(loaded.video_ids), 2)
    assert reported[-1] == (summary.done, summary.done + 2)
    assert summary.details["calibrations"] == {}  # one validation clip says nothing about scores
    with open_index(str(tmp_path / "index"), must_exist=True) as index:
        collection = index.alias("clips")
        assert collection == summary.details["collection"]
        hits = {hit.video_id: hit for hit in index.fetch(collection, loaded.video_ids, tokens=True)}
    clip = next(c for c in Corpus(tiny_corpus).clips("test", labelled=False))
    hit, place = hits[clip.video_id], loaded.video_ids.index(clip.video_id)
    assert len(hits) == summary.done
    assert hit.payload["text"] == clip.text
    assert hit.payload["licence"] == "CC0"
    assert hit.payload["path"] == Corpus(tiny_corpus).resolve(clip)
    assert hit.payload["window_starts"] == loaded.window_starts[place].tolist()
    assert hit.payload["duration"] == pytest.approx((clip.frames or 0) / 25)
    with torch.inference_mode():
        wanted = model.encode_video(*pad_rows([loaded.values[place]]))[0, 1:].numpy()
    assert hit.tokens is not None
    np.testing.assert_allclose(np.asarray(hit.tokens, np.float32), wanted, rtol=2e-2, atol=2e-3)

    again = build_index(tiny_corpus, features, model_folder, tmp_path / "index")
    assert (again.done, again.skipped) == (0, summary.done)


def test_a_model_for_other_features_is_refused(
    tiny_corpus: Path, made: tuple[Path, Path, RetrievalModel], tmp_path: Path
) -> None:
    save_model(tmp_path / "wide", 256)
    with pytest.raises(InputError, match=f"width 256.*{MICRO.feature_dim}"):
        build_index(tiny_corpus, made[0], tmp_path / "wide", tmp_path / "index")
    with pytest.raises(InputError, match="not a checkpoint"):
        build_index(tiny_corpus, made[0], tmp_path, tmp_path / "index")
    save_model(tmp_path / "class", MICRO.feature_dim, pooling="class")
    for step in (build_index, embed):
        arguments = (tiny_corpus,) if step is build_index else ()
        with pytest.raises(InputError, match="train with pooling 'fine' or 'mean'"):
            step(*arguments, made[0], tmp_path / "class", tmp_path / "index")  # type: ignore[operator]


def test_a_model_of_another_stride_embeds_its_own_windows(
    made: tuple[Path, Path, RetrievalModel], tmp_path: Path
) -> None:
    features = made[0]
    model = save_model(tmp_path / "model", MICRO.feature_dim, window_stride=4)
    embed(features, tmp_path / "model", tmp_path / "tokens")
    loaded = load_features(features, 0.25)
    place = 3
    every = loaded.window_starts[place].tolist()
    kept = [i for i, start in enumerate(every) if start % 4 == 0 or start == every[-1]]
    rows = [r for p in (tmp_path / "tokens").glob("part-*.parquet") for r in pq.read_table(p).to_pylist()]
    (row,) = (row for row in rows if row["video_id"] == loaded.video_ids[place])
    assert row["window_starts"] == [every[i] for i in kept]
    with torch.inference_mode():
        wanted = model.encode_video(*pad_rows([loaded.values[place][kept]]))[0, 1:].numpy()
    stored = np.frombuffer(row["tokens"], np.float16).reshape(-1, row["dim"])
    np.testing.assert_allclose(stored, wanted, atol=2e-3)


def test_embedding_stores_the_models_tokens_and_goes_on_where_it_was(
    made: tuple[Path, Path, RetrievalModel], embedded: tuple[Path, Summary]
) -> None:
    features, model_folder, model = made
    tokens_folder, summary = embedded
    loaded = load_features(features, 0.25)
    assert (summary.done, summary.skipped, summary.quarantined) == (len(loaded.video_ids), 0, 0)
    rows = {
        row["video_id"]: row
        for shard in tokens_folder.glob("part-*.parquet")
        for row in pq.read_table(shard).to_pylist()
    }
    assert sorted(rows) == loaded.video_ids
    with torch.inference_mode():
        tokens = model.encode_video(*pad_rows(loaded.values))
    for number, name in enumerate(loaded.video_ids):
        stored = np.frombuffer(rows[name]["tokens"], np.float16).reshape(-1, rows[name]["dim"])
        wanted = tokens[number, 1 : 1 + len(loaded.values[number])].numpy()
        np.testing.assert_allclose(stored, wanted, atol=2e-3)
        assert rows[name]["window_starts"] == loaded.window_starts[number].tolist()
    again = embed(features, model_folder, tokens_folder)
    assert (again.done, again.skipped) == (0, len(rows))


def test_added_videos_are_all_that_is_embedded(
    tiny_corpus: Path,
    made: tuple[Path, Path, RetrievalModel],
    embedded: tuple[Path, Summary],
    tmp_path: Path,
) -> None:
    for source, name in ((tiny_corpus, "corpus"), (made[0], "features"), (embedded[0], "tokens")):
        shutil.copytree(source, tmp_path / name)
    corpus, clips = tmp_path / "corpus", list(Corpus(tiny_corpus).clips())
    clip = next(clip for clip in clips if clip.label is None)
    added = [replace(clip, video_id=f"added-{n}", path=f"videos/added-{n}.mp4") for n in range(3)]
    for number, new in enumerate(added):
        write_video(corpus / new.path, film(new.text.split(), 900 + number))
    write_manifest(corpus, [*clips, *added])
    encoders = [made[0].parent / f"encoder-{seed}" for seed in (0, 1)]
    extracted = extract_features(corpus, list(encoders), 0.8, tmp_path / "features")
    assert (extracted.done, extracted.skipped) == (3, embedded[1].done)
    summary = embed(tmp_path / "features", made[1], tmp_path / "tokens")
    assert (summary.done, summary.skipped) == (3, embedded[1].done)
