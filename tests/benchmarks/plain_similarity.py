"""The fine-grained similarity and loss written the obvious way: what `cico bench similarity` compares with.

The same mathematics as `cico_model.similarity` and `cico_model.loss` (method 6 and 7, padding masked): all
products of a batch at once, autograd for the rest.
"""

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.07


def similarity(
    video_tokens: Tensor, text_tokens: Tensor, video_valid: Tensor, text_valid: Tensor
) -> tuple[Tensor, Tensor]:
    """Video-to-text and text-to-video [Bv, Bt] of tokens [Bv, N, D] and [Bt, L, D]."""
    videos = functional.normalize(video_tokens, dim=-1)
    texts = functional.normalize(text_tokens, dim=-1)
    products = torch.einsum("vnd,tld->vtnl", videos, texts)

    # Each sign looks at the words, then the mean over the signs.
    outside = ~text_valid[None, :, None, :]
    weights = (products / TEMPERATURE).masked_fill(outside, float("-inf")).softmax(dim=3)
    found = (weights * products).sum(dim=3)
    signs = video_valid[:, None, :].float()
    v2t = (found * signs).sum(dim=2) / signs.sum(dim=2)

    # Each word looks at the signs, then the mean over the words.
    outside = ~video_valid[:, None, :, None]
    weights = (products / TEMPERATURE).masked_fill(outside, float("-inf")).softmax(dim=2)
    found = (weights * products).sum(dim=2)
    words = text_valid[None, :, :].float()
    t2v = (found * words).sum(dim=2) / words.sum(dim=2)
    return v2t, t2v


def retrieval_loss(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    logit_scale: Tensor,
    weight: float = 0.5,
) -> Tensor:
    """The `balance` loss of a batch whose i-th video says its i-th text."""
    v2t, t2v = similarity(video_tokens, text_tokens, video_valid, text_valid)
    v2t, t2v = v2t * logit_scale.exp(), t2v * logit_scale.exp()
    targets = torch.arange(len(v2t), device=v2t.device)
    video_side = weight * functional.cross_entropy(v2t, targets)
    video_side = video_side + (1 - weight) * functional.cross_entropy(v2t.T, targets)
    text_side = weight * functional.cross_entropy(t2v.T, targets)
    text_side = text_side + (1 - weight) * functional.cross_entropy(t2v, targets)
    return (video_side + text_side) / 2


@torch.no_grad()
def score(
    video_tokens: Tensor, text_tokens: Tensor, video_valid: Tensor, text_valid: Tensor, block: int = 32
) -> Tensor:
    """Scores [V, T] of a test set, a block of videos against a block of texts at a time."""
    rows = []
    for v in range(0, len(video_tokens), block):
        row = []
        for t in range(0, len(text_tokens), block):
            v2t, t2v = similarity(
                video_tokens[v : v + block],
                text_tokens[t : t + block],
                video_valid[v : v + block],
                text_valid[t : t + block],
            )
            row.append(0.5 * v2t + 0.5 * t2v)
        rows.append(torch.cat(row, dim=1))
    return torch.cat(rows)


@torch.no_grad()
def bare_products(video_tokens: Tensor, text_tokens: Tensor, videos: int = 32, texts: int = 128) -> Tensor:
    """Only the matrix multiplication in scoring, of all padded tokens; the last block's products."""
    width = video_tokens.shape[2]
    products = torch.empty(0)
    for video_block in video_tokens.split(videos):
        left = video_block.reshape(-1, width)
        for text_block in text_tokens.split(texts):
            products = left @ text_block.reshape(-1, width).T
    return products
