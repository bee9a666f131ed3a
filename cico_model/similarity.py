"""How alike a sign video and a text are: every sign against every word (paper, section 3.4), in blocks."""

import torch
from torch import Tensor
from torch.nn import functional

from cico_model.checks import check_tokens
from cico_model.precision import full_precision
from cico_model.tiles import TILE_TOKENS, TiledSimilarity, make_groups

TEMPERATURE = 0.07
# Below this the exponential of 1 / temperature leaves the comfortable range of float32.
LEAST_TEMPERATURE = 0.025
BOTH = (True, True)


def similarity(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    *,
    temperature: float = TEMPERATURE,
    mask_padding: bool = True,
) -> tuple[Tensor, Tensor]:
    """Fine-grained similarity of every video with every text, in both directions (method 6).

    A video token's similarity with a text is the mean of its dot products with the text's tokens, weighted by
    their softmax; video-to-text is the mean of that over the video's tokens, text-to-video the mirror image.

    Parameters
    ----------
    video_tokens, text_tokens
        Float [Bv, 1 + T, D] and [Bt, L, D], of any length: they are normalised here.
    video_valid, text_valid
        bool [Bv, 1 + T] and [Bt, L]. The class token, position 0 of a video, is not valid.
    temperature
        Of the softmax.
    mask_padding
        Whether tokens that are not valid stay out of the softmax. Published checkpoints were trained with
        them inside (quirk 1); the means never count them.

    Returns
    -------
    tuple[Tensor, Tensor]
        Video-to-text and text-to-video, each [Bv, Bt], before the logit scale: float32, or float64 for
        float64 tokens, whatever autocast says.

    Raises
    ------
    ValueError
        If shapes don't fit, a row has no valid token, or a valid token is not finite: the row is named.

    Examples
    --------
    >>> import torch
    >>> tokens = torch.eye(3)[:, None, :].repeat(1, 2, 1)
    >>> valid = torch.ones(3, 2, dtype=torch.bool)
    >>> v2t, t2v = similarity(tokens, tokens, valid, valid)
    >>> v2t.argmax(dim=1)
    tensor([0, 1, 2])
    """
    return directed_similarity(
        video_tokens, text_tokens, video_valid, text_valid, BOTH, temperature, mask_padding
    )


def directed_similarity(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    wanted: tuple[bool, bool],
    temperature: float = TEMPERATURE,
    mask_padding: bool = True,
) -> tuple[Tensor, Tensor]:
    """`similarity` of which only the `wanted` directions (video-to-text, text-to-video) are computed."""
    if temperature < LEAST_TEMPERATURE:
        raise ValueError(f"the temperature must be {LEAST_TEMPERATURE} or more, not {temperature}")
    check_pair(video_tokens, text_tokens, video_valid, text_valid)
    with torch.autocast(video_tokens.device.type, enabled=False):
        dtype = torch.float64 if torch.float64 in (video_tokens.dtype, text_tokens.dtype) else torch.float32
        limits = TILE_TOKENS.get(video_tokens.device.type, TILE_TOKENS["other"])
        groups = (
            make_groups(video_valid, mask_padding, limits[0], text=False, dtype=dtype),
            make_groups(text_valid, mask_padding, limits[1], text=True, dtype=dtype),
        )
        sizes = (len(video_tokens), len(text_tokens))
        flat = (video_tokens.flatten(0, 1), text_tokens.flatten(0, 1))
        v2t, t2v = TiledSimilarity.apply(*flat, groups, sizes, temperature, wanted, dtype)  # type: ignore[no-untyped-call]
    return v2t, t2v


@torch.no_grad()
def score_matrix(
    video_tokens: Tensor,
    text_tokens: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    *,
    weight: float = 0.5,
    temperature: float = TEMPERATURE,
    mask_padding: bool = True,
) -> Tensor:
    """Score of every video with every text: `weight` V2T + (1 - `weight`) T2V, [Bv, Bt], without gradients.

    Takes a whole test set: beside the tokens themselves, a few MiB are used.
    """
    v2t, t2v = similarity(
        video_tokens, text_tokens, video_valid, text_valid, temperature=temperature, mask_padding=mask_padding
    )
    return v2t.mul_(weight).add_(t2v, alpha=1 - weight)


def pooled(tokens: Tensor, valid: Tensor) -> Tensor:
    """One unit vector a row: the mean of the valid tokens, normalised; [B, N, D] to [B, D], float32."""
    with torch.autocast(tokens.device.type, enabled=False):
        kept = full_precision(tokens).masked_fill(~valid.bool().unsqueeze(-1), 0.0)
        return functional.normalize(kept.sum(dim=1) / valid.sum(dim=1, keepdim=True), dim=-1)


def pooled_similarity(
    video_tokens: Tensor, text_tokens: Tensor, video_valid: Tensor, text_valid: Tensor
) -> Tensor:
    """Cosine of one vector a side, [Bv, Bt]: what the fine-grained similarity is compared with."""
    check_pair(video_tokens, text_tokens, video_valid, text_valid)
    with torch.autocast(video_tokens.device.type, enabled=False):
        return pooled(video_tokens, video_valid) @ pooled(text_tokens, text_valid).T


def class_tokens(video_valid: Tensor, text_valid: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of the tokens that stand for a whole side: the video's class token, the text's end token.

    As masks of `pooled`, they make it give these tokens: what CLIP compares. The class token is no key of the
    attention, but it attends to every window; the end token sees all words before it.

    Examples
    --------
    >>> video = torch.tensor([[False, True, True]])
    >>> class_tokens(video, torch.tensor([[True, True, False]]))
    (tensor([[ True, False, False]]), tensor([[False,  True, False]]))
    """
    video = torch.zeros_like(video_valid, dtype=torch.bool)
    video[:, 0] = True
    counted = text_valid.long().cumsum(dim=1)
    return video, text_valid.bool() & (counted == counted[:, -1:])


def check_pair(video_tokens: Tensor, text_tokens: Tensor, video_valid: Tensor, text_valid: Tensor) -> None:
    """Refuse tokens that can't be compared, naming the row."""
    check_tokens("video tokens", video_tokens, video_valid)
    check_tokens("text tokens", text_tokens, text_valid)
    if video_tokens.shape[2] != text_tokens.shape[2]:
        widths = f"{video_tokens.shape[2]} and {text_tokens.shape[2]}"
        raise ValueError(f"video and text tokens must be equally wide, not {widths}")


def unit_tokens(tokens: Tensor, valid: Tensor) -> Tensor:
    """Tokens of length 1; padding is zeroed, whatever it held."""
    return functional.normalize(full_precision(tokens).masked_fill(~valid.bool().unsqueeze(-1), 0.0), dim=-1)
