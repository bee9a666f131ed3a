"""Gradients of a large contrastive batch in the memory of a small one: tokens cached, towers run twice."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cico_model.gathering import is_distributed
from cico_model.model import PairBatch, PairTokens, RetrievalModel

RandomState = tuple[Tensor, Tensor | None]


def two_pass_backward(
    model: RetrievalModel, batch: PairBatch, piece: int, *, autocast: torch.dtype | None = None
) -> Tensor:
    """Loss of a batch and its gradients, with the towers' activations of only `piece` pairs in memory.

    The contrastive batch stays whole: every pair is compared with all pairs of all workers. The first pass
    encodes the pieces without a graph and takes the loss's gradient with respect to their tokens; the second
    encodes them again, with the dropout of the first, and carries that gradient on into the towers
    (GradCache: Gao et al., 2021, https://arxiv.org/abs/2101.06983). A batch of one piece is encoded once.

    Parameters
    ----------
    model
        The bare model, never its DistributedDataParallel wrapper, though it may have one: the workers'
        gradients are averaged here.
    batch
        This worker's own pairs; other workers may have more or fewer, and as many pieces as they need.
    piece
        Pairs that are encoded at a time.
    autocast
        Type that the towers compute in, as `torch.autocast` has it; the call must not be in such a context.

    Returns
    -------
    Tensor
        The detached loss of the whole batch. Gradients are added to the parameters' `grad`, as `backward` of
        the model's loss adds them; random numbers are drawn as by one pass over the pieces.

    Raises
    ------
    ValueError
        If `piece` is below 1, or the model refuses the batch.
    """
    if piece < 1:
        raise ValueError(f"a piece is of 1 pair or more, not {piece}")
    device = model.logit_scale.device
    if piece >= len(batch.features):
        with _autocast(device, autocast):
            pairs = model.encode_pairs(batch)
        loss = model.loss(pairs)
        loss.backward()  # type: ignore[no-untyped-call]
        _average_gradients(model)
        return loss.detach()
    pieces = list(_split(batch, piece))
    encoded, states = _encode_without_graph(model, pieces, device, autocast)
    loss, gradients = _token_gradients(model, encoded)
    del encoded
    after = _random_state(device)
    for part, state, *rows in zip(pieces, states, *(torch.split(g, piece) for g in gradients), strict=True):
        _restore(state, device)
        with _autocast(device, autocast):
            tokens = model.encode_pairs(part).tokens()
        trained = [(t, g) for t, g in zip(tokens, rows, strict=True) if t.requires_grad]
        torch.autograd.backward([t for t, _ in trained], [g for _, g in trained])
    _restore(after, device)
    _average_gradients(model)
    return loss


def _split(batch: PairBatch, piece: int) -> Iterator[PairBatch]:
    """Pieces of a batch, padded as the whole is: without masking, padding counts."""
    for start in range(0, len(batch.features), piece):
        yield PairBatch._make(None if t is None else t[start : start + piece] for t in batch)


@torch.no_grad()
def _encode_without_graph(
    model: RetrievalModel, pieces: list[PairBatch], device: torch.device, autocast: torch.dtype | None
) -> tuple[PairTokens, list[RandomState]]:
    """Tokens of the whole batch, and the random state before each piece."""
    states, parts = [], []
    for part in pieces:
        states.append(_random_state(device))
        with _autocast(device, autocast):
            parts.append(model.encode_pairs(part))
    columns = zip(*parts, strict=True)
    return PairTokens._make(None if c[0] is None else torch.cat(c) for c in columns), states


def _token_gradients(model: RetrievalModel, pairs: PairTokens) -> tuple[Tensor, list[Tensor]]:
    """The loss, and its gradients with respect to the tokens; that of the logit scale goes to its `grad`."""
    leaves = [tokens.requires_grad_() for tokens in pairs.tokens()]
    loss = model.loss(pairs)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), [torch.zeros_like(t) if t.grad is None else t.grad for t in leaves]


def _average_gradients(model: nn.Module) -> None:
    """What DistributedDataParallel does; all workers have gradients of the same parameters."""
    if not is_distributed():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    # A context a piece: what it caches of the weights in the first pass knows no gradient.
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def _random_state(device: torch.device) -> RandomState:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _restore(state: RandomState, device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
