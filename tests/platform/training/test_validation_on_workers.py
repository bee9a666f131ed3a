"""Workers share a validation, and its result is the same for any number of them."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.multiprocessing as mp
from sample_stores import build_here
from tiny_corpus import LABELS, MICRO
from validating_workers import ROWS, judge
from word_features import write_word_features

from cico_platform.training.data.cuts import Cut, FrameSettings
from cico_platform.training.data.feature_source import describe_source
from cico_platform.training.pairs import PairSource, load_pairs, score_pairs
from cico_platform.training.retrieval import RetrievalSettings, fresh_model
from cico_platform.training.sign_encoder import SignEncoderSettings
from cico_platform.training.tasks.retrieval import RetrievalRun
from cico_platform.training.tasks.sign_encoder import SignEncoderRun

VIDEOS, SIGNS, WORKERS = 24, 12, 2


@pytest.fixture(scope="module")
def runs(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RetrievalRun, SignEncoderRun]:
    home = tmp_path_factory.mktemp("validation")
    corpus, features = write_word_features(home / "words", train=16, held_out=VIDEOS)
    cuts = [
        Cut(f"sign-{label}-{signer}", label) for label in LABELS for signer in range(SIGNS // len(LABELS))
    ]
    build_here(tiny_corpus, cuts[:8], home / "train", FrameSettings(size=MICRO.resize, backdrop=True))
    build_here(tiny_corpus, cuts, home / "held_out", FrameSettings(size=MICRO.resize))
    source, settings = describe_source(features), RetrievalSettings(batch_size=8)
    train, held_out = (PairSource(str(corpus), source, split) for split in ("train", "validation"))
    model = fresh_model(train.open(), 16, settings)
    stores = {"samples": str(home / "train"), "held_out": str(home / "held_out")}
    return (
        RetrievalRun(settings, model.config, model.tokenizer, model.state_dict(), train, held_out),
        SignEncoderRun(SignEncoderSettings(batch_size=8), MICRO, LABELS, None, False, **stores),
    )


@pytest.fixture(scope="module")
def judged(
    runs: tuple[RetrievalRun, SignEncoderRun], tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Path]:
    found = {count: tmp_path_factory.mktemp(f"judged-{count}") for count in (1, WORKERS)}
    file = found[1] / "runs.pickle"
    file.write_bytes(pickle.dumps(runs))
    judge(0, 1, file, found[1])
    mp.spawn(judge, args=(WORKERS, file, found[WORKERS]), nprocs=WORKERS)
    return found


def told(out: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(out.glob("?.json"))]


def test_every_worker_gets_the_result_of_one(judged: dict[int, Path]) -> None:
    (alone,) = told(judged[1])
    several = told(judged[WORKERS])
    assert len(several) == WORKERS
    for each in several:
        assert each["retrieval"] == alone["retrieval"]
        assert each["encoder"] == alone["encoder"]
    assert set(alone["retrieval"]) == {"t2v_R@1", "v2t_R@1"}
    assert set(alone["encoder"]) == {"accuracy"}
    np.testing.assert_array_equal(np.load(judged[WORKERS] / "scores.npy"), np.load(judged[1] / "scores.npy"))


def test_each_worker_encodes_a_share(judged: dict[int, Path]) -> None:
    (alone,) = told(judged[1])
    for kind, whole in (("videos", VIDEOS), ("windows", SIGNS)):
        assert alone[kind] == whole
        shares = [each[kind] for each in told(judged[WORKERS])]
        assert sum(shares) == whole
        assert max(shares) <= whole / WORKERS + ROWS


def test_scores_are_those_of_an_evaluation(
    judged: dict[int, Path], runs: tuple[RetrievalRun, SignEncoderRun]
) -> None:
    run = runs[0]
    assert isinstance(run.validation, PairSource)
    pairs = load_pairs(run.validation.corpus, run.validation.features.folder, "validation")
    assert isinstance(run.train, PairSource)
    model = fresh_model(run.train.open(), 16, run.settings)
    expected = score_pairs(model, pairs)
    np.testing.assert_allclose(np.load(judged[1] / "scores.npy"), expected.numpy(), rtol=0, atol=1e-5)


def test_a_worker_without_a_share_waits_for_the_others(judged: dict[int, Path]) -> None:
    """In chunks of 64, all 24 videos are one, and so are all texts: one of two workers encodes nothing."""
    found = np.load(judged[WORKERS] / "one_chunk.npy")
    np.testing.assert_array_equal(found, np.load(judged[1] / "one_chunk.npy"))
    np.testing.assert_allclose(found, np.load(judged[1] / "scores.npy"), rtol=0, atol=1e-5)
