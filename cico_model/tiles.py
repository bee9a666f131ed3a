"""The fine-grained similarity in tiles small enough for a cache, with exact gradients by recomputation."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Tokens of a tile's two sides. On a CPU a tile and its exponential then fit the second-level caches; a GPU
# wants work for all of its cores at once.
TILE_TOKENS = {"cpu": (256, 1024), "other": (4096, 8192)}
# Products of a call up to this many bytes are kept for the backward pass instead of being computed again.
KEEP_BYTES = 32 * 2**20
LEAST_NORM = 1e-12


@dataclass(frozen=True)
class Group:
    """Rows (videos, or texts) of about the same length that a tile takes together.

    Attributes
    ----------
    rows
        int64 [n] indices of the rows in the batch.
    index
        int64 [n * length] places of the group's tokens among the batch's B * N tokens.
    mask
        Float, 1 for a token that takes part in the softmax, 0 for padding; None where no padding is left.
        [n, length] for videos, [length, n] for texts.
    mean
        Float weights of the mean over a row's valid tokens, of the shape of `mask`.
    """

    rows: Tensor
    index: Tensor
    mask: Tensor | None
    mean: Tensor

    def unit_tokens(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """The group's tokens [n * length, D], normalised, padding zeroed; and their norms [n * length, 1]."""
        picked = flat.index_select(0, self.index).to(self.mean.dtype)
        if self.mask is not None:
            picked.masked_fill_(self.mask.reshape(-1, 1) == 0, 0.0)
        norms = torch.linalg.vector_norm(picked, dim=1, keepdim=True).clamp_min_(LEAST_NORM)
        return picked.div_(norms), norms

    def put_gradient(self, into: Tensor, grad: Tensor, unit: Tensor, norms: Tensor) -> None:
        """Carry the gradient of the unit tokens to the tokens' places; padding gets none."""
        grad = grad.addcmul_(unit, (grad * unit).sum(dim=1, keepdim=True), value=-1).div_(norms)
        if self.mask is not None:
            grad.mul_(self.mask.reshape(-1, 1))
        into.index_copy_(0, self.index, grad.to(into.dtype))


def make_groups(valid: Tensor, mask_padding: bool, limit: int, text: bool, dtype: torch.dtype) -> list[Group]:
    """Sort the rows of a mask [B, N] by length and cut them into groups of at most `limit` tokens."""
    valid = valid.bool()
    lengths = valid.sum(dim=1)
    width = valid.shape[1]
    if mask_padding:
        # Valid tokens first, so that a group is as wide as its longest row and no wider.
        places = torch.argsort((~valid).to(torch.uint8), dim=1, stable=True)
        order = torch.argsort(lengths)
        sorted_lengths = lengths[order].tolist()
    else:
        places = torch.arange(width, device=valid.device).expand(len(valid), width)
        order = torch.arange(len(valid), device=valid.device)
        sorted_lengths = [width] * len(valid)
    groups, start = [], 0
    while start < len(sorted_lengths):
        stop = start + 1
        while stop < len(sorted_lengths) and (stop + 1 - start) * sorted_lengths[stop] <= limit:
            stop += 1
        rows, length = order[start:stop], sorted_lengths[stop - 1]
        index = rows[:, None] * width + places[rows, :length]
        counts = lengths[rows, None].to(dtype)
        inside = valid.reshape(-1)[index.reshape(-1)].view(index.shape).to(dtype)
        padded = mask_padding and sorted_lengths[start] != length
        parts = (index, inside, inside / counts)
        index, inside, mean = (p.T.contiguous() for p in parts) if text else parts
        groups.append(Group(rows, index.reshape(-1), inside if padded else None, mean))
        start = stop
    return groups


class Workspace:
    """Buffers that one tile after another uses: to free each tile's own would leave holes in the heap."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, shape: torch.Size) -> Tensor:
        """An uninitialised tensor; what this name held before is lost."""
        count = shape.numel()
        held = self._buffers.get(name)
        if held is None or len(held) < count:
            self._buffers.pop(name, None)
            held = self._buffers[name] = self._like.new_empty(count)
        return held[:count].view(shape)


def products(video: Tensor, text: Tensor, v: Group, x: Group, work: Workspace | None) -> Tensor:
    """Dot products of a tile: [n, t, l, m] for n videos of t tokens and m texts of l tokens."""
    shape = torch.Size((len(video), len(text)))
    out = video.new_empty(shape) if work is None else work.take("products", shape)
    return torch.mm(video, text.T, out=out).view(len(v.rows), -1, x.mean.shape[0], len(x.rows))


Sums = tuple[Tensor, Tensor]


def tile_sums(
    e: Tensor, v: Group, x: Group, temperature: float, wanted: tuple[bool, bool], work: Workspace
) -> list[Sums | None]:
    """Softmax denominators and weighted means of a tile, per video token [n, t, m] and text token [n, l, m].

    A dot product of unit vectors is at most 1, so that its exponential needs no maximum taken off first.
    """
    p = torch.mul(e, 1.0 / temperature, out=work.take("weights", e.shape)).exp_()
    if x.mask is not None:
        p.mul_(x.mask)
    if v.mask is not None:
        p.mul_(v.mask[:, :, None, None])
    pe = torch.mul(p, e, out=work.take("weighted", e.shape))
    found: list[Sums | None] = []
    for direction, (axis, mask) in enumerate(
        ((2, None if v.mask is None else v.mask[:, :, None]), (1, x.mask))
    ):
        if not wanted[direction]:
            found.append(None)
            continue
        total, mean = p.sum(dim=axis), pe.sum(dim=axis)
        if mask is not None:
            total.add_(1 - mask)  # a padded token has an empty softmax: 0 / 1 instead of 0 / 0
        found.append((total, mean.div_(total)))
    return found


def tile_gradient(
    e: Tensor,
    v: Group,
    x: Group,
    temperature: float,
    sums: list[Sums | None],
    grads: list[Tensor | None],
    work: Workspace,
) -> Tensor:
    """Gradient with respect to a tile's dot products, from that of its two similarities [n, m].

    With s the softmax-weighted mean of e, ds/de = p / sum(p) * (1 + (e - s) / temperature). Both directions
    are summed before the one multiplication by p. Padding needs no mask: its tokens are zero.
    """
    slopes: list[Tensor] = []
    offsets: list[Tensor] = []
    for direction, weights in enumerate((v.mean[:, :, None], x.mean)):
        grad, found = grads[direction], sums[direction]
        if grad is None or found is None:
            continue
        share = grad[:, None, :] * weights / found[0]
        steep = share * (1.0 / temperature)
        offset = share - steep * found[1]
        axis = 2 if direction == 0 else 1
        offsets.append(offset.unsqueeze(axis))
        slopes.append(steep.unsqueeze(axis))
    buffer = work.take("weighted", e.shape)
    slope = torch.add(*slopes, out=buffer) if len(slopes) == 2 else buffer.copy_(slopes[0])
    out = slope.mul_(e)
    for offset in offsets:
        out.add_(offset)
    return out.mul_(torch.mul(e, 1.0 / temperature, out=work.take("weights", e.shape)).exp_())


class TiledSimilarity(torch.autograd.Function):
    """Both similarities of tokens, normalised on the way; memory grows with the tokens, not their product."""

    @staticmethod
    def forward(
        ctx: Any,
        video: Tensor,
        text: Tensor,
        groups: tuple[list[Group], list[Group]],
        sizes: tuple[int, int],
        temperature: float,
        wanted: tuple[bool, bool],
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        results = [torch.zeros(sizes, dtype=dtype, device=video.device) for _ in wanted]
        needs_grad = any(ctx.needs_input_grad)
        keep = needs_grad and video.shape[0] * text.shape[0] * dtype.itemsize <= KEEP_BYTES
        texts = [x.unit_tokens(text)[0] for x in groups[1]]
        work = Workspace(results[0])
        saved: list[tuple[list[Sums | None], Tensor | None]] = []
        for v in groups[0]:
            tokens, _ = v.unit_tokens(video)
            for x, words in zip(groups[1], texts, strict=True):
                e = products(tokens, words, v, x, None if keep else work)
                sums = tile_sums(e, v, x, temperature, wanted, work)
                for direction, weights in enumerate((v.mean[:, :, None], x.mean)):
                    found = sums[direction]
                    if found is not None:
                        results[direction][v.rows[:, None], x.rows] = (found[1] * weights).sum(dim=1)
                if needs_grad:
                    saved.append((sums, e if keep else None))
        ctx.save_for_backward(video, text)
        ctx.rest = (groups, temperature, saved)
        return results[0], results[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        video, text = ctx.saved_tensors
        groups, temperature, saved = ctx.rest
        video_grad, text_grad = torch.zeros_like(video), torch.zeros_like(text)
        if all(g is None for g in grads):
            return video_grad, text_grad, None, None, None, None, None
        texts = [x.unit_tokens(text) for x in groups[1]]
        work = Workspace(texts[0][0])
        text_grads = [torch.zeros_like(words) for words, _ in texts]
        tiles = iter(saved)
        for v in groups[0]:
            tokens, norms = v.unit_tokens(video)
            collected = torch.zeros_like(tokens)
            for x, (words, _), words_grad in zip(groups[1], texts, text_grads, strict=True):
                sums, e = next(tiles)
                e = products(tokens, words, v, x, work) if e is None else e
                local = [None if g is None else g[v.rows[:, None], x.rows] for g in grads]
                step = tile_gradient(e, v, x, temperature, sums, local, work).view(len(tokens), len(words))
                collected.addmm_(step, words)
                words_grad.addmm_(step.T, tokens)
            v.put_gradient(video_grad, collected, tokens, norms)
        for x, (words, norms), words_grad in zip(groups[1], texts, text_grads, strict=True):
            x.put_gradient(text_grad, words_grad, words, norms)
        return video_grad, text_grad, None, None, None, None, None
