"""On a GPU, batches arrive whole and compiled towers learn as on a CPU. Skipped where there is none."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from cico_model.checks import values_unchecked
from cico_model.config import TOWERS
from cico_model.model import PairBatch, RetrievalModel
from cico_model.text import CorpusTokenizer
from cico_platform.training.compilation import compiled
from cico_platform.training.data.device_batches import built_ahead, on_device

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
CUDA = torch.device("cuda")
TEXTS = ["the cat sleeps", "a dog eats", "birds fly south", "we swim at night", "rain", "they all sing it"]


def test_batches_are_copied_ahead_and_arrive_whole() -> None:
    drawn = [torch.full((64, 1 << 16), float(number)) for number in range(12)]
    given = ((number, (values, None)) for number, values in enumerate(drawn))
    sums = []
    for number, (values, absent) in on_device(built_ahead(given, CUDA), CUDA):
        assert absent is None
        assert values.device.type == "cuda"
        busy = torch.randn(2048, 2048, device=CUDA)
        for _ in range(20):
            busy = busy @ busy
            busy /= busy.norm()
        sums.append((number, values.sum(dtype=torch.float64) + 0 * busy.sum()))
        del values
    assert [number for number, _ in sums] == list(range(12))
    assert [float(total) for _, total in sums] == [float(n * drawn[0].numel()) for n in range(12)]


def model_and_batch() -> tuple[RetrievalModel, PairBatch]:
    torch.manual_seed(0)
    model = RetrievalModel(TOWERS["tiny"], CorpusTokenizer.train(TEXTS * 2)).train()
    text = model.tokenise(TEXTS)
    config = model.config
    missing = config.context_length - text.ids.shape[1]
    pad = torch.nn.functional.pad
    ids, valid = pad(text.ids, (0, missing)), pad(text.valid, (0, missing))
    features = torch.randn(6, config.max_windows, config.feature_dim)
    windows = torch.arange(config.max_windows)[None] < torch.tensor([64, 9, 31, 2, 50, 17])[:, None]
    return model, PairBatch(features, windows, ids, valid, ids.flip(0), valid.flip(0))


def learn(model: RetrievalModel, batch: PairBatch, steps: int, is_compiled: bool) -> list[Tensor]:
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True), []
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        if is_compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with values_unchecked():
            loss: Any = model(*batch)
            loss.backward()
        optimizer.step()
        losses.append(loss.detach().cpu().clone())
    return losses


@pytest.mark.parametrize("mode", ["off", "default", "reduce-overhead"])
def test_towers_learn_as_on_a_cpu(mode: Any) -> None:
    model, batch = model_and_batch()
    there = copy.deepcopy(model).cuda()
    if mode != "off":
        for tower in (there.video, there.text):
            tower.encode = compiled(tower.encode, mode)  # type: ignore[method-assign]
    moved = PairBatch(*(tensor.cuda() for tensor in batch if tensor is not None))
    expected, found = learn(model, batch, 6, False), learn(there, moved, 6, mode != "off")
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=0, atol=2e-3)
    assert float(found[-1]) < float(found[0])
