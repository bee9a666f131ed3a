"""The sides of `cico bench similarity`; each runs in a process of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

from cico_model.loss import retrieval_loss
from cico_model.similarity import score_matrix
from cico_platform.benchmarks.plain import load_plain
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work

Begin = Callable[[], None]
Tokens = tuple[Tensor, Tensor, Tensor, Tensor]
VIDEO_TOKENS = 65
TEXT_TOKENS = 32
LOGIT_SCALE = 2.66  # log(1 / 0.07), where training starts
WARM_UP = 8


def plain_training(task: Task, begin: Begin) -> Work:
    """Forward and backward of a batch, all products at once."""
    module = load_plain("plain_similarity")
    return _training(task, begin, lambda tokens, scale: module.retrieval_loss(*tokens, scale))


def our_training(task: Task, begin: Begin) -> Work:
    """Forward and backward of a batch by `cico_model.retrieval_loss`."""
    return _training(task, begin, lambda tokens, scale: retrieval_loss(*tokens, logit_scale=scale))


def plain_scoring(task: Task, begin: Begin) -> Work:
    """Scores of the first `part` videos with all texts, in blocks, the plain way."""
    module = load_plain("plain_similarity")
    tokens = _there(_part(draw_test_set(task), task.values["part"]), task)
    begin()
    return Work(
        lambda: {"scores": module.score(*tokens)},
        lambda: module.score(*_part(tokens, WARM_UP)),
    )


def our_scoring(task: Task, begin: Begin) -> Work:
    """Scores of the whole test set by `cico_model.score_matrix`."""
    tokens = _there(draw_test_set(task), task)
    begin()
    return Work(
        lambda: {"scores": score_matrix(*tokens)},
        lambda: score_matrix(*_part(tokens, WARM_UP)),
    )


def bare_products(task: Task, begin: Begin) -> Work:
    """Only the matrix multiplication of all padded tokens, of the first `part` videos with all texts."""
    module = load_plain("plain_similarity")
    tokens = _there(_part(draw_test_set(task), task.values["part"]), task)
    begin()
    return Work(
        lambda: {"products": module.bare_products(tokens[0], tokens[1])[:1]},
        lambda: module.bare_products(tokens[0][:WARM_UP], tokens[1]),
    )


def _training(task: Task, begin: Begin, loss: Callable[[Tokens, Tensor], Tensor]) -> Work:
    videos, texts, video_valid, text_valid = _there(draw_batch(task), task)
    scale = torch.tensor(LOGIT_SCALE, device=task.device, requires_grad=True)
    leaves = (videos.requires_grad_(), texts.requires_grad_(), scale)
    begin()

    def step(count: int | None = None) -> Tensor:
        for leaf in leaves:
            leaf.grad = None
        tokens = (videos[:count], texts[:count], video_valid[:count], text_valid[:count])
        value = loss(tokens, scale)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    def run() -> Outputs:
        value = step()
        grads = [leaf.grad for leaf in leaves]
        names = ("grad_videos", "grad_texts", "grad_scale")
        return {"loss": value, **{n: g for n, g in zip(names, grads, strict=True) if g is not None}}

    # On a GPU the first pass at a size takes its memory and chooses its kernels.
    return Work(run, lambda: step(WARM_UP if task.device == "cpu" else None))


def draw_batch(task: Task) -> Tokens:
    """A training batch in which every text takes all its 32 tokens, every video all its 64 windows."""
    count, width = task.values["batch"], task.values["width"]
    videos, texts = _tokens(task.seed, count, count, width)
    video_valid = torch.ones(count, VIDEO_TOKENS, dtype=torch.bool)
    video_valid[:, 0] = False
    return videos, texts, video_valid, torch.ones(count, TEXT_TOKENS, dtype=torch.bool)


def draw_test_set(task: Task) -> Tokens:
    """A test set with lengths as How2Sign's: 160 windows a video, of which 56 are used; 20 tokens a text."""
    count_videos, count_texts = task.values["videos"], task.values["texts"]
    videos, texts = _tokens(task.seed, count_videos, count_texts, task.values["width"])
    generator = torch.Generator().manual_seed(task.seed + 1)
    # Log-normal frames with mean 175, and words with median 15: the means above come out.
    frames = torch.empty(count_videos).log_normal_(4.829, 0.82, generator=generator)
    windows = (frames.round() - 15).clamp(1, VIDEO_TOKENS - 1)
    words = torch.empty(count_texts).log_normal_(2.708, 0.6, generator=generator)
    tokens = (1.15 * words + 2).round().clamp(3, TEXT_TOKENS)
    place = torch.arange(VIDEO_TOKENS)
    video_valid = (place > 0) & (place <= windows[:, None])
    return videos, texts, video_valid, torch.arange(TEXT_TOKENS) < tokens[:, None]


def _tokens(seed: int, videos: int, texts: int, width: int) -> tuple[Tensor, Tensor]:
    """Tokens [videos, 65, width] and [texts, 32, width]; the i-th of both share a direction."""
    generator = torch.Generator().manual_seed(seed)
    sides = []
    shared = torch.randn(max(videos, texts), 1, width, generator=generator)
    for count, length in ((videos, VIDEO_TOKENS), (texts, TEXT_TOKENS)):
        sides.append(torch.randn(count, length, width, generator=generator).add_(shared[:count]))
    return sides[0], sides[1]


def _there(tokens: Tokens, task: Task) -> Tokens:
    videos, texts, video_valid, text_valid = (t.to(task.device) for t in tokens)
    return videos, texts, video_valid, text_valid


def _part(tokens: Tokens, videos: int) -> Tokens:
    return tokens[0][:videos].clone(), tokens[1], tokens[2][:videos], tokens[3]
