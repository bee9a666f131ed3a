"""A validation is shared by the workers, and its result is the same for any number of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sample_stores import build_here
from tiny_corpus import LABELS, MICRO
from word_features import write_word_features

from cico_platform.training import shared_scoring
from cico_platform.training.data.cuts import Cut, FrameSettings
from cico_platform.training.data.window_loader import WindowLoader
from cico_platform.training.pairs import load_pairs, score_pairs
from cico_platform.training.precision import Precision
from cico_platform.training.retrieval import RetrievalSettings, fresh_model
from cico_platform.training.session import Session
from cico_platform.training.sign_encoder import SignEncoderSettings
from cico_platform.training.tasks import sign_encoder as sign_encoder_task
from cico_platform.training.tasks.retrieval import RetrievalRun, RetrievalTask
from cico_platform.training.tasks.sign_encoder import SignEncoderRun, SignEncoderTask
from cico_platform.training.workers import Worker

CPU = torch.device("cpu")
FLOAT32 = Precision(CPU, None)
# Fewer rows a chunk than in earnest, so that a few clips are several chunks; five, of which one is a rest.
ROWS = 5
WORKERS = 3


@pytest.fixture(scope="module")
def folder(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("validation")
    corpus, features = write_word_features(home / "words", train=16, held_out=24)
    (home / "words.json").write_text(json.dumps([str(corpus), str(features)]))
    cuts = [Cut(f"sign-{label}-{signer}", label) for label in LABELS for signer in range(3)]
    build_here(tiny_corpus, cuts[:8], home / "train", FrameSettings(size=MICRO.resize, backdrop=True))
    build_here(tiny_corpus, cuts, home / "held_out", FrameSettings(size=MICRO.resize))
    return home


def retrieval_task(folder: Path, worker: Worker) -> RetrievalTask:
    corpus, features = json.loads((folder / "words.json").read_text())
    settings = RetrievalSettings(batch_size=8)
    train, validation = (load_pairs(corpus, features, split) for split in ("train", "validation"))
    model = fresh_model(train, 16, settings)
    run = RetrievalRun(settings, model.config, model.tokenizer, model.state_dict(), train, validation)
    return RetrievalTask(run, Session(worker))


def encoder_task(folder: Path, worker: Worker) -> SignEncoderTask:
    stores = {"samples": str(folder / "train"), "held_out": str(folder / "held_out")}
    run = SignEncoderRun(SignEncoderSettings(batch_size=8), MICRO, LABELS, None, False, **stores)
    task = SignEncoderTask(run, Session(worker))
    # Statistics that differ from worker to worker, as a step of training leaves them.
    for buffer in task.model.buffers():
        if buffer.is_floating_point():
            buffer.add_(0.05 * worker.rank)
    return task


def judge(rank: int, count: int, folder: Path, out: Path) -> None:
    """Validate both tasks on one of several workers; each writes what it got, and how much it encoded."""
    torch.set_num_threads(1)
    if count > 1:
        dist.init_process_group("gloo", init_method=f"file://{out}/rendezvous", rank=rank, world_size=count)
    encoded = {"videos": 0, "windows": 0}
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((shared_scoring, "ENCODE_BATCH"), (sign_encoder_task, "EVALUATION_BATCH")):
            patch.setattr(module, name, ROWS)
        encode, load = shared_scoring.encode_videos, WindowLoader._start

        def counting(model, pairs, rows, longest):  # type: ignore[no-untyped-def]
            encoded["videos"] += len(rows)
            return encode(model, pairs, rows, longest)

        def loading(self, windows):  # type: ignore[no-untyped-def]
            encoded["windows"] += len(windows)
            return load(self, windows)

        patch.setattr(shared_scoring, "encode_videos", counting)
        patch.setattr(WindowLoader, "_start", loading)
        worker = Worker(rank, count, CPU)
        retrieval, encoder = retrieval_task(folder, worker), encoder_task(folder, worker)
        assert retrieval.validation is not None
        scores = shared_scoring.score_on_workers(retrieval.model, retrieval.validation, worker)
        assert (scores is None) == (rank > 0)
        encoded["videos"] = 0
        found = {"retrieval": retrieval.validate(FLOAT32), "encoder": encoder.validate(FLOAT32), **encoded}
    (out / f"{rank}.json").write_text(json.dumps(found))
    assert shared_scoring.ENCODE_BATCH >= 24
    one_chunk = shared_scoring.score_on_workers(retrieval.model, retrieval.validation, worker)
    for name, matrix in (("scores", scores), ("one_chunk", one_chunk)):
        if matrix is not None:
            np.save(out / f"{name}.npy", matrix.numpy())
    if count > 1:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def judged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    found = {count: tmp_path_factory.mktemp(f"judged-{count}") for count in (1, WORKERS)}
    judge(0, 1, folder, found[1])
    mp.spawn(judge, args=(WORKERS, folder, found[WORKERS]), nprocs=WORKERS)
    return found


def told(out: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in sorted(out.glob("?.json"))]


def test_every_worker_gets_the_result_of_one(judged: dict[int, Path]) -> None:
    (alone,) = told(judged[1])
    several = told(judged[WORKERS])
    assert len(several) == WORKERS
    for each in several:
        assert each["retrieval"] == alone["retrieval"]
        assert each["encoder"] == alone["encoder"]
    assert np.array_equal(np.load(judged[1] / "scores.npy"), np.load(judged[WORKERS] / "scores.npy"))


def test_each_worker_encodes_a_share(judged: dict[int, Path]) -> None:
    (alone,) = told(judged[1])
    several = told(judged[WORKERS])
    for kind, whole in (("videos", 24), ("windows", 12)):
        assert alone[kind] == whole
        shares = [int(str(each[kind])) for each in several]
        assert sum(shares) == whole
        assert max(shares) <= 2 * ROWS


def test_scores_are_those_of_an_evaluation(judged: dict[int, Path], folder: Path) -> None:
    corpus, features = json.loads((folder / "words.json").read_text())
    task = retrieval_task(folder, Worker(0, 1, CPU))
    expected = score_pairs(task.model, load_pairs(corpus, features, "validation"))
    np.testing.assert_allclose(np.load(judged[1] / "scores.npy"), expected.numpy(), rtol=0, atol=1e-5)


def test_workers_without_a_share_wait_for_the_others(judged: dict[int, Path]) -> None:
    """All 24 videos are one chunk of 64: only one of the three workers has anything to encode."""
    found = np.load(judged[WORKERS] / "one_chunk.npy")
    np.testing.assert_array_equal(found, np.load(judged[1] / "one_chunk.npy"))
    np.testing.assert_allclose(found, np.load(judged[1] / "scores.npy"), rtol=0, atol=1e-5)
