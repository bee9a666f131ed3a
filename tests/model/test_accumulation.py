"""Two passes over pieces of a batch give the loss and the gradients of one pass over all of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from cico_model.accumulation import two_pass_backward
from cico_model.config import TOWERS, TowerConfig
from cico_model.model import PairBatch, RetrievalModel
from cico_model.text import CorpusTokenizer

TEXTS = ["the cat sleeps", "a dog eats", "birds fly south", "we swim at night", "rain", "they all sing it"]
CHANGED = ["cat the sleeps", "a dog", "fly birds", "we swim night at", "rain rain", "all they sing"]
CONFIG = replace(
    TOWERS["tiny"], feature_dim=16, video_width=32, text_width=32, embed_dim=16, max_windows=12, weight=0.3
)
Gradients = dict[str, Tensor]


def make_model(config: TowerConfig, dtype: torch.dtype = torch.float64) -> RetrievalModel:
    torch.manual_seed(0)
    return RetrievalModel(config, CorpusTokenizer.train(TEXTS * 2)).to(dtype)


def make_batch(model: RetrievalModel, augment: bool, rows: slice = slice(None)) -> PairBatch:
    """Pairs of different lengths; `rows` are one worker's, padded as far as its own need."""
    features = torch.randn(6, 9, 16, generator=torch.Generator().manual_seed(1))[rows]
    counts = torch.tensor([9, 4, 6, 1, 3, 2])[rows]
    valid = torch.arange(int(counts.max()))[None] < counts[:, None]
    features = features[:, : valid.shape[1]].masked_fill(~valid[:, :, None], 0.0)
    text = model.tokenise(TEXTS[rows])
    changed = model.tokenise(CHANGED[rows])
    batch = PairBatch(features.to(model.logit_scale.dtype), valid, text.ids, text.valid)
    return batch._replace(ids_augmented=changed.ids, text_valid_augmented=changed.valid) if augment else batch


def gradients(model: RetrievalModel) -> Gradients:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def one_pass(model: RetrievalModel, batch: PairBatch) -> tuple[Tensor, Gradients]:
    model.zero_grad()
    loss = model(*batch)
    loss.backward()
    return loss.detach(), gradients(model)


def two_passes(model: RetrievalModel, batch: PairBatch, piece: int) -> tuple[Tensor, Gradients]:
    model.zero_grad()
    loss = two_pass_backward(model, batch, piece)
    assert not loss.requires_grad
    return loss, gradients(model)


def assert_same(found: tuple[Tensor, Gradients], expected: tuple[Tensor, Gradients], bound: float) -> None:
    """Every parameter's gradient is there, and apart by no more than `bound` of the largest of all."""
    torch.testing.assert_close(found[0], expected[0], rtol=bound, atol=0)
    assert found[1].keys() == expected[1].keys()
    largest = max(float(g.abs().max()) for g in expected[1].values())
    for name, gradient in expected[1].items():
        assert float((found[1][name] - gradient).abs().max()) <= bound * largest, name


VARIANTS = [
    {},
    {"design": "depart"},
    {"pooling": "mean"},
    {"mask_padding": False},
    {"streams": 2},
]


@pytest.mark.parametrize("piece", [1, 2, 4, 6, 100])
@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_pieces_have_the_gradient_of_the_whole(change: dict[str, object], augment: bool, piece: int) -> None:
    model = make_model(replace(CONFIG, **change))  # type: ignore[arg-type]
    batch = make_batch(model, augment)
    expected = one_pass(model, batch)
    assert_same(two_passes(model, batch, piece), expected, 1e-11)


@pytest.mark.parametrize("piece", [2, 4])
def test_float32_keeps_five_digits(piece: int) -> None:
    model = make_model(CONFIG, torch.float32)
    batch = make_batch(model, augment=True)
    expected = one_pass(model, batch)
    assert_same(two_passes(model, batch, piece), expected, 1e-5)


def test_gradients_are_added_to_those_that_are_there() -> None:
    model = make_model(CONFIG)
    batch = make_batch(model, augment=False)
    loss, once = one_pass(model, batch)
    two_pass_backward(model, batch, 2)
    assert_same((loss, gradients(model)), (loss, {name: 2 * g for name, g in once.items()}), 1e-11)


def test_both_passes_drop_the_same_and_draw_as_one_does() -> None:
    model = make_model(replace(CONFIG, dropout=0.3)).train()
    batch = make_batch(model, augment=True)
    torch.manual_seed(5)
    found = two_passes(model, batch, 4)
    after = torch.rand(3)
    # The plain way over the same pieces: each is encoded once, with a graph.
    model.zero_grad()
    torch.manual_seed(5)
    parts = [
        model.encode_pairs(PairBatch(*(t[rows] for t in batch if t is not None)))
        for rows in (slice(0, 4), slice(4, 6))
    ]
    assert torch.equal(torch.rand(3), after)
    pairs = parts[0]._make(torch.cat(column) for column in zip(*parts, strict=True))
    loss = model.loss(pairs)
    loss.backward()
    assert_same(found, (loss.detach(), gradients(model)), 1e-11)
    # The dropout is real: another seed has another gradient.
    torch.manual_seed(6)
    assert abs(float(two_passes(model, batch, 4)[0] - loss.detach())) > 1e-3


def test_a_frozen_tower_gets_no_gradient_and_the_other_its_own() -> None:
    model = make_model(CONFIG)
    model.text.requires_grad_(False)
    batch = make_batch(model, augment=True)
    expected = one_pass(model, batch)
    found = two_passes(model, batch, 4)
    assert not any(name.startswith("text.") for name in found[1])
    assert_same(found, expected, 1e-11)


def test_autocast_computes_the_towers_in_bfloat16_and_the_loss_in_float32() -> None:
    model = make_model(CONFIG, torch.float32)
    batch = make_batch(model, augment=True)
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(*batch)
    loss.backward()
    expected = loss.detach(), gradients(model)
    model.zero_grad()
    found = two_pass_backward(model, batch, 4, autocast=torch.bfloat16)
    assert found.dtype == torch.float32
    assert_same((found, gradients(model)), expected, 2e-2)
    assert not torch.equal(found, two_passes(model, batch, 4)[0])


def test_a_piece_without_a_pair_is_refused() -> None:
    model = make_model(CONFIG)
    with pytest.raises(ValueError, match="a piece is of 1 pair or more, not 0"):
        two_pass_backward(model, make_batch(model, augment=False), 0)


def worker(rank: int, counts: list[int], folder: str) -> None:
    """One of several workers: for each variant, the wrapper's gradients beside those of two passes."""
    torch.set_num_threads(1)
    world = len(counts)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    first = sum(counts[:rank])
    for number, change in enumerate(WORKER_VARIANTS):
        model = make_model(replace(CONFIG, **change))  # type: ignore[arg-type]
        batch = make_batch(model, augment=True, rows=slice(first, first + counts[rank]))
        wrapped = DistributedDataParallel(model)
        loss = wrapped(*batch)
        loss.backward()
        expected = loss.detach(), gradients(model)
        # Three pairs are two pieces, one of them small; one pair is a piece that is not cut.
        found = [two_passes(model, batch, piece) for piece in (1, 2)]
        # The wrapper is none the worse for it.
        model.zero_grad()
        wrapped(*batch).backward()
        again = loss.detach(), gradients(model)
        torch.save((expected, found, again), f"{folder}/{number}-{rank}.pt")
    dist.destroy_process_group()


WORKER_VARIANTS: list[dict[str, object]] = [{}, {"pooling": "mean"}, {"mask_padding": False}]
COUNTS = [5, 1]


@pytest.fixture(scope="module")
def by_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two workers: a file for each variant and worker."""
    folder = tmp_path_factory.mktemp("workers")
    mp.spawn(worker, args=(COUNTS, str(folder)), nprocs=len(COUNTS))
    return folder


@pytest.mark.parametrize("number", range(len(WORKER_VARIANTS)), ids=lambda n: str(WORKER_VARIANTS[n]))
def test_uneven_workers_have_the_gradient_of_the_wrapper_and_of_one_worker(
    number: int, by_workers: Path
) -> None:
    model = make_model(replace(CONFIG, **WORKER_VARIANTS[number]))  # type: ignore[arg-type]
    whole = one_pass(model, make_batch(model, augment=True))
    for rank in range(len(COUNTS)):
        expected, found, again = torch.load(by_workers / f"{number}-{rank}.pt", weights_only=True)
        assert_same(expected, whole, 1e-11)
        for result in (*found, again):
            assert_same(result, expected, 1e-11)
