"""Cross-lingual contrastive loss: in a batch, each video should find its own text and each text its video."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cico_model.gathering import all_rows, gather_rows, global_loss, is_distributed
from cico_model.similarity import BOTH, TEMPERATURE, check_pair, directed_similarity, pooled

DESIGNS = ("balance", "depart")


class Coefficients(NamedTuple):
    """Weights of the four cross entropies: over rows (videos) and columns (texts) of both directions."""

    v2t_rows: float
    v2t_columns: float
    t2v_columns: float
    t2v_rows: float


def coefficients(design: str, weight: float) -> Coefficients:
    """How a design weighs the four cross entropies (method 7)."""
    w, rest = weight / 2, (1 - weight) / 2
    if design == "balance":
        return Coefficients(w, rest, w, rest)
    if design == "depart":
        return Coefficients(w, w, rest, rest)
    raise ValueError(f"the design is one of {', '.join(DESIGNS)}, not '{design}'")


def retrieval_loss(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    *,
    logit_scale: Tensor | float,
    text_tokens_augmented: Tensor | None = None,
    text_valid_augmented: Tensor | None = None,
    weight: float = 0.5,
    design: str = "balance",
    temperature: float = TEMPERATURE,
    mask_padding: bool = True,
) -> Tensor:
    """Contrastive loss of a batch whose i-th video says its i-th text (method 7).

    Parameters
    ----------
    video_tokens, text_tokens, video_valid, text_valid, temperature, mask_padding
        As in `similarity`, with as many videos as texts.
    logit_scale
        Logarithm of the factor that both similarities are multiplied by.
    text_tokens_augmented, text_valid_augmented
        The same texts after augmentation: the text-to-video direction takes them instead.
    weight, design
        How the four cross entropies are weighed: "balance" or "depart".

    Returns
    -------
    Tensor
        Scalar, float32 (float64 for float64 tokens).

    Raises
    ------
    ValueError
        If there are not as many texts as videos, or as `similarity` does.
    """
    weights = coefficients(design, weight)
    check_pairs(video_tokens, text_tokens, text_tokens_augmented, text_valid_augmented)
    settings = (temperature, mask_padding)
    if text_tokens_augmented is None or text_valid_augmented is None:
        v2t, t2v = directed_similarity(video_tokens, text_tokens, video_valid, text_valid, BOTH, *settings)
    else:
        v2t, t2v = directions(
            video_tokens,
            video_valid,
            ((text_tokens, text_valid), (text_tokens_augmented, text_valid_augmented)),
            settings,
        )
    scale = scale_of(logit_scale, v2t)
    v2t, t2v = v2t * scale, t2v * scale
    targets = torch.arange(len(v2t), device=v2t.device)
    return (
        weights.v2t_rows * functional.cross_entropy(v2t, targets)
        + weights.v2t_columns * functional.cross_entropy(v2t.T, targets)
        + weights.t2v_columns * functional.cross_entropy(t2v.T, targets)
        + weights.t2v_rows * functional.cross_entropy(t2v, targets)
    )


def pooled_loss(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    *,
    logit_scale: Tensor | float,
) -> Tensor:
    """Symmetric contrastive loss of one vector a side, what the fine-grained loss is compared with.

    Exact over several workers, as `distributed_retrieval_loss` is.
    """
    check_pair(video_tokens, text_tokens, video_valid, text_valid)
    # A side of one token has a softmax of one: the fine-grained similarity is then the cosine, either way.
    sides = [pooled(*side).unsqueeze(1) for side in ((video_tokens, video_valid), (text_tokens, text_valid))]
    masks = [torch.ones(side.shape[:2], dtype=torch.bool, device=side.device) for side in sides]
    return distributed_retrieval_loss(*sides, *masks, logit_scale=logit_scale)


def distributed_retrieval_loss(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    *,
    logit_scale: Tensor | float,
    text_tokens_augmented: Tensor | None = None,
    text_valid_augmented: Tensor | None = None,
    weight: float = 0.5,
    design: str = "balance",
    temperature: float = TEMPERATURE,
    mask_padding: bool = True,
) -> Tensor:
    """`retrieval_loss` of the batch that all workers hold together, each giving its rows and columns.

    Every worker calls it with its own pairs, of which there may be more or fewer than elsewhere. Each
    compares its videos with all texts and gets the others' similarities [B, B]: no product is made twice.
    The returned value is the whole batch's loss, on every worker; its gradients, averaged over the workers
    (as DistributedDataParallel does), are those of a single worker with the whole batch, `logit_scale`
    included. Without other workers it is `retrieval_loss`. With `mask_padding=False` all workers must pad to
    the same lengths.
    """
    if not is_distributed():
        return retrieval_loss(
            video_tokens,
            text_tokens,
            video_valid,
            text_valid,
            logit_scale=logit_scale,
            text_tokens_augmented=text_tokens_augmented,
            text_valid_augmented=text_valid_augmented,
            weight=weight,
            design=design,
            temperature=temperature,
            mask_padding=mask_padding,
        )
    weights = coefficients(design, weight)
    check_pairs(video_tokens, text_tokens, text_tokens_augmented, text_valid_augmented)
    settings = (temperature, mask_padding)
    videos = all_rows(video_valid, may_pad=mask_padding)
    own: list[tuple[Tensor, Tensor]] = [(text_tokens, text_valid)]
    if text_tokens_augmented is not None and text_valid_augmented is not None:
        own.append((text_tokens_augmented, text_valid_augmented))
    texts = [gather_rows(*t, may_pad=mask_padding) for t in own]
    rows = directions(video_tokens, video_valid, texts, settings)
    mine = slice(videos.first, videos.first + len(video_tokens))
    columns = [videos.gather(similarities)[:, mine] for similarities in rows]
    scale = scale_of(logit_scale, rows[0])
    targets = videos.first + torch.arange(len(video_tokens), device=video_tokens.device)
    share = sum(
        factor * functional.cross_entropy(logits * scale, targets, reduction="sum")
        for factor, logits in (
            (weights.v2t_rows, rows[0]),
            (weights.v2t_columns, columns[0].T),
            (weights.t2v_columns, columns[1].T),
            (weights.t2v_rows, rows[1]),
        )
    )
    assert isinstance(share, Tensor)
    return global_loss(share / sum(videos.counts))


def directions(
    video_tokens: Tensor,
    video_valid: Tensor,
    texts: Sequence[tuple[Tensor, Tensor]],
    settings: tuple[float, bool],
) -> tuple[Tensor, Tensor]:
    """Video-to-text with the first of `texts`, text-to-video with the last; both at once if there is one."""
    if len(texts) == 1:
        return directed_similarity(video_tokens, texts[0][0], video_valid, texts[0][1], BOTH, *settings)
    plain, augmented = texts
    v2t, _ = directed_similarity(video_tokens, plain[0], video_valid, plain[1], (True, False), *settings)
    _, t2v = directed_similarity(
        video_tokens, augmented[0], video_valid, augmented[1], (False, True), *settings
    )
    return v2t, t2v


def scale_of(logit_scale: Tensor | float, like: Tensor) -> Tensor:
    """The factor of the similarities, in their precision."""
    return torch.as_tensor(logit_scale, dtype=like.dtype, device=like.device).exp()


def check_pairs(
    video_tokens: Tensor, text_tokens: Tensor, augmented: Tensor | None, augmented_valid: Tensor | None
) -> None:
    """Refuse a batch whose videos and texts are not pairs."""
    if len(video_tokens) != len(text_tokens):
        raise ValueError(f"a batch is made of pairs: {len(video_tokens)} videos, {len(text_tokens)} texts")
    if (augmented is None) != (augmented_valid is None):
        raise ValueError("augmented text needs both its tokens and their mask")
    if augmented is not None and len(augmented) != len(video_tokens):
        raise ValueError(f"{len(video_tokens)} videos need as many augmented texts, not {len(augmented)}")
