"""The one place where tokens cross workers: gathering with gradients, and the loss that all workers share."""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional


class Rows(NamedTuple):
    """How many rows each worker has, how long they are padded, and the index of this worker's first row."""

    counts: list[int]
    lengths: list[int]
    first: int

    def gather(self, own: Tensor) -> Tensor:
        """All workers' [b, ...] as [B, ...], with gradients."""
        everyone: Tensor = GatherRows.apply(own, self.counts)  # type: ignore[no-untyped-call]
        return everyone


class Gathered(NamedTuple):
    """Rows of all workers: tokens [B, N, D] and valid [B, N]."""

    tokens: Tensor
    valid: Tensor


def is_distributed() -> bool:
    """Whether this process is one of several workers."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class GatherRows(torch.autograd.Function):
    """All workers' tensors [b, ...] in the order of their ranks; the gradient is the sum of all workers'."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        most = max(counts)
        padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])]).contiguous()
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone().contiguous()
        dist.all_reduce(total)
        first = sum(ctx.counts[: dist.get_rank()])
        return total[first : first + ctx.counts[dist.get_rank()]], None


def all_rows(valid: Tensor, may_pad: bool = True) -> Rows:
    """The rows of all workers, from each one's mask [b, N]; b may differ, and N if `may_pad`.

    Raises
    ------
    ValueError
        On every worker, if N differs and may not.
    """
    shape = torch.tensor(valid.shape, device=valid.device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    counts = [int(s[0]) for s in shapes]
    lengths = [int(s[1]) for s in shapes]
    if len(set(lengths)) > 1 and not may_pad:
        raise ValueError(f"without masking, padding counts: all workers must pad alike, not to {lengths}")
    return Rows(counts, lengths, sum(counts[: dist.get_rank()]))


def gather_rows(tokens: Tensor, valid: Tensor, may_pad: bool = True) -> Gathered:
    """Gather tokens [b, N, D] and their masks [b, N], as `all_rows` allows."""
    rows = all_rows(valid, may_pad)
    missing = max(rows.lengths) - tokens.shape[1]
    tokens = functional.pad(tokens, (0, 0, 0, missing))
    mask = functional.pad(valid.to(torch.uint8), (0, missing))
    return Gathered(rows.gather(tokens), rows.gather(mask).bool())


def global_loss(share: Tensor) -> Tensor:
    """This worker's share of a loss as the whole loss, whose gradient is true once averaged over workers."""
    total = share.detach().clone()
    dist.all_reduce(total)
    scaled = share * dist.get_world_size()
    return scaled + (total - scaled).detach()
