"""The sides of `two-pass-512` in `cico bench similarity`: what a training step computes, towers included."""

from collections.abc import Callable

import torch
from torch import Tensor

from cico_model.accumulation import two_pass_backward
from cico_model.config import TOWERS, TowerConfig
from cico_model.model import PairBatch, RetrievalModel
from cico_model.text import CorpusTokenizer
from cico_model.towers import TextTower, VideoTower
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work

Begin = Callable[[], None]
Backward = Callable[[RetrievalModel, PairBatch], Tensor]
WARM_UP = 8


def plain_step(task: Task, begin: Begin) -> Work:
    """Both towers encode the whole batch, then one backward."""

    def backward(model: RetrievalModel, batch: PairBatch) -> Tensor:
        loss: Tensor = model(*batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return _step(task, begin, backward)


def our_step(task: Task, begin: Begin) -> Work:
    """The same by `cico_model.two_pass_backward`, `piece` pairs at a time."""
    piece = int(task.values["piece"])
    return _step(task, begin, lambda model, batch: two_pass_backward(model, batch, piece))


def _step(task: Task, begin: Begin, backward: Backward) -> Work:
    torch.manual_seed(task.seed)
    config = TOWERS[task.values["towers"]]
    batch = PairBatch(*(t.to(task.device) for t in _draw(config, task.values["batch"]) if t is not None))
    # Token ids are drawn too: the tokenizer is there because a model has one.
    towers = VideoTower(config), TextTower(config)
    model = RetrievalModel(config, CorpusTokenizer.train(["a text"]), towers).to(task.device)
    begin()

    def run() -> Outputs:
        model.zero_grad()
        loss = backward(model, batch)
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return {"loss": loss, "gradient": gradient}

    def warm_up() -> object:
        part = (t[:WARM_UP] for t in batch if t is not None)
        return backward(model, PairBatch(*part))

    return Work(run, warm_up if task.device == "cpu" else run)


def _draw(config: TowerConfig, pairs: int) -> PairBatch:
    """A batch in which every video has all its windows and every text all its tokens."""
    windows = torch.ones(pairs, config.max_windows, dtype=torch.bool)
    tokens = torch.ones(pairs, config.context_length, dtype=torch.bool)
    features = torch.randn(*windows.shape, config.feature_dim)
    return PairBatch(features, windows, torch.randint(0, config.vocab_size, tokens.shape), tokens)
