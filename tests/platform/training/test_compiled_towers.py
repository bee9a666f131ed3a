"""Compiled towers get batches of one shape each, and give the losses and gradients of those as they are."""

from pathlib import Path

import pytest
import torch
from word_features import write_word_features

from cico_platform.training import compilation
from cico_platform.training.pairs import load_pairs
from cico_platform.training.precision import Precision
from cico_platform.training.retrieval import RetrievalSettings, fresh_model
from cico_platform.training.session import Session
from cico_platform.training.task import Batch
from cico_platform.training.tasks.retrieval import RetrievalRun, RetrievalTask
from cico_platform.training.workers import Worker

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_word_features(tmp_path_factory.mktemp("words"), train=24, held_out=4)


def task_of(words: tuple[Path, Path]) -> RetrievalTask:
    pairs = load_pairs(*words, "train")
    settings = RetrievalSettings(batch_size=8, dropout=0.0)
    model = fresh_model(pairs, 16, settings)
    run = RetrievalRun(settings, model.config, model.tokenizer, model.state_dict(), pairs, None)
    return RetrievalTask(run, Session(Worker(0, 1, CPU)))


def gradients(task: RetrievalTask, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # type: ignore[type-arg]
    task.model.train()
    task.optimizer.zero_grad()
    loss = task.backward(task.model, batch, Precision(CPU, None))
    return loss, {name: p.grad.clone() for name, p in task.model.named_parameters() if p.grad is not None}


def test_compiled_towers_learn_alike(words: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "BACKEND", "eager")  # the same tracing, without a C compiler
    plain, compiled = task_of(words), task_of(words)
    names = list(plain.model.state_dict())
    compiled.compile("default")
    assert list(compiled.model.state_dict()) == names
    config = compiled.model.config
    for one, other in zip(plain.batches(0, 0), compiled.batches(0, 0), strict=True):
        assert other.inputs.features.shape == (8, config.max_windows, 16)
        assert other.inputs.ids.shape == (8, config.context_length)
        assert one.inputs.features.shape[1] < config.max_windows
        (loss, grads), (same, others) = gradients(plain, one), gradients(compiled, other)
        torch.testing.assert_close(same, loss, rtol=1e-5, atol=1e-6)
        largest = max(float(grad.abs().max()) for grad in grads.values())
        for name, grad in grads.items():
            assert float((others[name] - grad).abs().max()) <= 1e-5 * largest, name
