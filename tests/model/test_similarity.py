"""The similarity in tiles equals the definition, in value and gradient, whatever the tiles."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from cico_model import tiles
from cico_model.similarity import directed_similarity, pooled_similarity, score_matrix, similarity


def dense(
    video: Tensor,
    text: Tensor,
    video_valid: Tensor,
    text_valid: Tensor,
    temperature: float,
    mask_padding: bool,
) -> tuple[Tensor, Tensor]:
    """The definition written out, all products at once."""
    v, t = functional.normalize(video, dim=-1), functional.normalize(text, dim=-1)
    e = torch.einsum("vid,tjd->vtij", v, t)
    logits_text = e / temperature
    logits_video = e / temperature
    if mask_padding:
        logits_text = logits_text.masked_fill(~text_valid[None, :, None, :], -1e9)
        logits_video = logits_video.masked_fill(~video_valid[:, None, :, None], -1e9)
    per_sign = (logits_text.softmax(-1) * e).sum(-1)
    per_word = (logits_video.softmax(-2) * e).sum(-2)
    v2t = (per_sign * video_valid[:, None, :]).sum(-1) / video_valid.sum(1)[:, None]
    t2v = (per_word * text_valid[None, :, :]).sum(-1) / text_valid.sum(1)[None, :]
    return v2t, t2v


def batch(videos: int, texts: int, seed: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Random tokens with random lengths; the class token, position 0 of a video, is not valid."""
    rng = torch.Generator().manual_seed(seed)
    video = torch.randn(videos, 7, 5, generator=rng, dtype=dtype)
    text = torch.randn(texts, 6, 5, generator=rng, dtype=dtype)
    video_lengths = torch.randint(1, 7, (videos,), generator=rng)
    text_lengths = torch.randint(1, 7, (texts,), generator=rng)
    video_valid = torch.arange(7)[None] <= video_lengths[:, None]
    video_valid[:, 0] = False
    return [video, text, video_valid, torch.arange(6)[None] < text_lengths[:, None]]


@pytest.fixture(params=["one tile", "many tiles"])
def tiling(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways that a batch may be cut, the second with products computed again for the gradient."""
    if request.param == "many tiles":
        monkeypatch.setitem(tiles.TILE_TOKENS, "cpu", (8, 9))
        monkeypatch.setattr(tiles, "KEEP_BYTES", 0)


@pytest.mark.usefixtures("tiling")
@pytest.mark.parametrize("mask_padding", [True, False])
class TestDefinition:
    def test_values_and_gradients_equal_the_definition(self, mask_padding: bool) -> None:
        video, text, video_valid, text_valid = batch(9, 8, 0)
        results = []
        for function in (similarity, dense):
            v, t = video.clone().requires_grad_(), text.clone().requires_grad_()
            pair = function(v, t, video_valid, text_valid, temperature=0.07, mask_padding=mask_padding)
            (pair[0].sin().sum() + pair[1].exp().sum()).backward()
            results.append((*pair, v.grad, t.grad))
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)

    def test_gradcheck(self, mask_padding: bool) -> None:
        video, text, video_valid, text_valid = batch(3, 3, 1)
        assert torch.autograd.gradcheck(
            lambda v, t: similarity(
                v, t, video_valid, text_valid, temperature=0.3, mask_padding=mask_padding
            ),
            (video.requires_grad_(), text.requires_grad_()),
        )

    @pytest.mark.parametrize("direction", [0, 1])
    def test_one_direction_alone_is_the_same(self, mask_padding: bool, direction: int) -> None:
        video, text, *masks = batch(5, 4, 2)
        both, alone = [], []
        for into, wanted in ((both, (True, True)), (alone, (direction == 0, direction == 1))):
            v, t = video.clone().requires_grad_(), text.clone().requires_grad_()
            found = directed_similarity(v, t, *masks, wanted, mask_padding=mask_padding)[direction]
            found.square().sum().backward()
            into += [found, v.grad, t.grad]
        for one, other in zip(both, alone, strict=True):
            torch.testing.assert_close(one, other)

    def test_scores_weigh_both_directions(self, mask_padding: bool) -> None:
        tokens = batch(9, 8, 3)
        v2t, t2v = similarity(*tokens, mask_padding=mask_padding)
        scores = score_matrix(*tokens, weight=0.3, mask_padding=mask_padding)
        torch.testing.assert_close(scores, 0.3 * v2t + 0.7 * t2v)


@pytest.mark.parametrize("kind", ["plain", "aug"])
def test_published_similarities_are_reproduced(golden_dir: Path, kind: str) -> None:
    golden = {k: torch.from_numpy(v) for k, v in np.load(golden_dir / "similarity_loss.npz").items()}
    video, video_valid = golden["video_tokens"], golden["ref_video_mask"] == 0
    suffix = "_aug" if kind == "aug" else ""
    v2t, _ = similarity(
        video, golden["text_tokens"], video_valid, golden["text_mask"] > 0, mask_padding=False
    )
    _, t2v = similarity(
        video,
        golden["text_tokens" + suffix],
        video_valid,
        golden["text_mask" + suffix] > 0,
        mask_padding=False,
    )
    assert (v2t / 0.07 - golden[f"{kind}_v2t"]).abs().max() <= 1e-5
    assert (t2v / 0.07 - golden[f"{kind}_t2v"]).abs().max() <= 1e-5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), videos=st.integers(1, 6), texts=st.integers(1, 6))
def test_permuting_videos_permutes_rows(seed: int, videos: int, texts: int) -> None:
    video, text, video_valid, text_valid = batch(videos, texts, seed)
    order = torch.randperm(videos, generator=torch.Generator().manual_seed(seed))
    straight = similarity(video, text, video_valid, text_valid)
    permuted = similarity(video[order], text, video_valid[order], text_valid)
    for one, other in zip(straight, permuted, strict=True):
        torch.testing.assert_close(one[order], other)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), filler=st.sampled_from([0.0, 1e6, math.nan, math.inf]))
def test_padding_never_changes_a_masked_result(seed: int, filler: float) -> None:
    video, text, video_valid, text_valid = batch(4, 3, seed)
    before = similarity(video, text, video_valid, text_valid)
    video[~video_valid], text[~text_valid] = filler, filler
    v, t = video.requires_grad_(), text.requires_grad_()
    after = similarity(
        functional.pad(v, (0, 0, 0, 3), value=filler), t, functional.pad(video_valid, (0, 3)), text_valid
    )
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)
    (after[0].sum() + after[1].sum()).backward()
    assert v.grad is not None
    assert torch.isfinite(v.grad).all()
    assert (v.grad[~video_valid] == 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_video_is_its_own_best_match(seed: int) -> None:
    tokens = torch.randn(5, 6, 32, generator=torch.Generator().manual_seed(seed))
    valid = torch.ones(5, 6, dtype=torch.bool)
    v2t, t2v = similarity(tokens, tokens, valid, valid)
    for scores in (v2t, t2v, t2v.T, pooled_similarity(tokens, tokens, valid, valid)):
        assert scores.argmax(dim=1).tolist() == list(range(5))


def test_bfloat16_autocast_leaves_the_reductions_in_float32() -> None:
    video, text, video_valid, text_valid = batch(6, 6, 4, torch.float32)
    exact = similarity(video, text, video_valid, text_valid)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = similarity(video, text, video_valid, text_valid)
        from_half = similarity(video.bfloat16(), text.bfloat16(), video_valid, text_valid)
    for one, other, half in zip(exact, cast, from_half, strict=True):
        assert torch.equal(one, other)
        assert half.dtype == torch.float32
        torch.testing.assert_close(one, half, rtol=0, atol=0.03)


def test_what_cannot_be_compared_is_refused_by_row() -> None:
    video, text, video_valid, text_valid = batch(4, 3, 5)
    with pytest.raises(ValueError, match=r"text tokens: .*\[B, N\]"):
        similarity(video, text, video_valid, text_valid[:, :2])
    with pytest.raises(ValueError, match="equally wide, not 5 and 4"):
        similarity(video, text[..., :4], video_valid, text_valid)
    with pytest.raises(ValueError, match="temperature"):
        similarity(video, text, video_valid, text_valid, temperature=0.001)
    broken = text.clone()
    broken[2, 0, 1] = math.nan
    with pytest.raises(ValueError, match=r"text tokens: row 2 .* not finite, at position 0"):
        similarity(video, broken, video_valid, text_valid)
    video_valid[1] = False
    with pytest.raises(ValueError, match="video tokens: row 1 has no valid token"):
        similarity(video, text, video_valid, text_valid)


def test_pooled_similarity_is_the_cosine_of_the_means() -> None:
    video, text, video_valid, text_valid = batch(3, 4, 6)
    found = pooled_similarity(video, text, video_valid, text_valid)
    one, other = video[2][video_valid[2]].mean(0), text[1][text_valid[1]].mean(0)
    torch.testing.assert_close(found[2, 1], functional.cosine_similarity(one, other, dim=0))
