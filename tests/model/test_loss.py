"""The contrastive loss has the published values and gradients, on one worker and on several alike."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn import functional

from cico_model.loss import distributed_retrieval_loss, pooled_loss, retrieval_loss
from cico_model.similarity import pooled_similarity, similarity

CASES = [("balance", 0.5), ("balance", 0.3), ("depart", 0.3), ("balance", 1)]
LEAVES = ("video", "text", "augmented", "scale")


@pytest.mark.parametrize(("design", "weight"), CASES)
@pytest.mark.parametrize("kind", ["plain", "aug"])
def test_published_losses_and_gradients_are_reproduced(
    golden_dir: Path, kind: str, design: str, weight: float
) -> None:
    golden = np.load(golden_dir / "similarity_loss.npz")
    video, text, augmented = (
        torch.from_numpy(golden[k]).requires_grad_()
        for k in ("video_tokens", "text_tokens", "text_tokens_aug")
    )
    extra: dict[str, Any] = {}
    if kind == "aug":
        valid = torch.from_numpy(golden["text_mask_aug"]) > 0
        extra = {"text_tokens_augmented": augmented, "text_valid_augmented": valid}
    loss = retrieval_loss(
        video,
        text,
        torch.from_numpy(golden["ref_video_mask"]) == 0,
        torch.from_numpy(golden["text_mask"]) > 0,
        logit_scale=math.log(1 / 0.07),
        weight=weight,
        design=design,
        mask_padding=False,
        **extra,
    )
    loss.backward()
    name = f"{kind}_{design}_{weight}"
    assert abs(loss.item() - float(golden[f"{name}_loss"])) <= 1e-5
    found = {"grad_video": video, "grad_text": text}
    if kind == "aug":
        found["grad_text_aug"] = augmented
    for suffix, leaf in found.items():
        assert leaf.grad is not None
        assert np.abs(leaf.grad.numpy() - golden[f"{name}_{suffix}"]).max() <= 1e-5


def make_batch(seed: int, pairs: int) -> dict[str, Tensor]:
    """Random pairs in float64, with an augmented text each."""
    rng = torch.Generator().manual_seed(seed)
    video_lengths = torch.randint(1, 6, (pairs,), generator=rng)
    lengths = torch.randint(1, 5, (2, pairs), generator=rng)
    video_valid = torch.arange(6)[None] <= video_lengths[:, None]
    video_valid[:, 0] = False
    return {
        "video": torch.randn(pairs, 6, 8, generator=rng, dtype=torch.float64),
        "text": torch.randn(pairs, 4, 8, generator=rng, dtype=torch.float64),
        "augmented": torch.randn(pairs, 4, 8, generator=rng, dtype=torch.float64),
        "video_valid": video_valid,
        "text_valid": torch.arange(4)[None] < lengths[0][:, None],
        "augmented_valid": torch.arange(4)[None] < lengths[1][:, None],
        "scale": torch.tensor(2.0, dtype=torch.float64),
    }


def run_loss(
    data: dict[str, Tensor], design: str, augment: bool, mask_padding: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of a batch, by whatever workers there are."""
    leaves = {name: data[name].clone().requires_grad_() for name in LEAVES}
    loss = distributed_retrieval_loss(
        leaves["video"],
        leaves["text"],
        data["video_valid"],
        data["text_valid"],
        logit_scale=leaves["scale"],
        text_tokens_augmented=leaves["augmented"] if augment else None,
        text_valid_augmented=data["augmented_valid"] if augment else None,
        weight=0.3,
        design=design,
        mask_padding=mask_padding,
    )
    loss.backward()
    return loss.detach(), {k: v.grad for k, v in leaves.items() if v.grad is not None}


def worker(rank: int, counts: list[int], folder: str) -> None:
    """One of several workers, with its own, uneven, part of the batch."""
    torch.set_num_threads(1)
    world = len(counts)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    first = sum(counts[:rank])
    whole = make_batch(0, sum(counts))
    own = {k: v if v.ndim == 0 else v[first : first + counts[rank]] for k, v in whole.items()}
    # Lengths differ from worker to worker too: each pads as far as its own batch needs.
    longest = int(own["text_valid"].sum(1).max())
    cut = {**own, "text": own["text"][:, :longest], "text_valid": own["text_valid"][:, :longest]}
    results = {}
    for design in ("balance", "depart"):
        for augment in (False, True):
            results[design, augment, True] = run_loss(cut, design, augment)
            results[design, augment, False] = run_loss(own, design, augment, mask_padding=False)
    leaf = own["video"].clone().requires_grad_()
    pooled = pooled_loss(leaf, own["text"], own["video_valid"], own["text_valid"], logit_scale=2.0)
    pooled.backward()
    assert leaf.grad is not None
    torch.save((results, (pooled.detach(), leaf.grad)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "counts", [[4, 3], [3, 1, 2], pytest.param([2, 4, 1, 3], marks=pytest.mark.slow)], ids=str
)
def test_workers_together_equal_one_worker(counts: list[int], tmp_path: Path) -> None:
    mp.spawn(worker, args=(counts, str(tmp_path)), nprocs=len(counts))
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(len(counts))]
    whole = make_batch(0, sum(counts))
    for (design, augment, mask_padding), _ in parts[0][0].items():
        loss, grads = run_loss(whole, design, augment, mask_padding)
        found = [part[0][design, augment, mask_padding] for part in parts]
        for worker_loss, _ in found:
            torch.testing.assert_close(worker_loss, loss, rtol=0, atol=1e-10)
        # What DistributedDataParallel does: gradients are averaged over the workers.
        scale = sum(g["scale"] for _, g in found) / len(counts)
        torch.testing.assert_close(scale, grads["scale"], rtol=0, atol=1e-10)
        for name in ("video", "text", "augmented"):
            if name not in grads:
                continue
            widest = grads[name].shape[1]
            joined = torch.cat(
                [functional.pad(g[name], (0, 0, 0, widest - g[name].shape[1])) for _, g in found]
            )
            torch.testing.assert_close(joined / len(counts), grads[name], rtol=0, atol=1e-10)
    leaf = whole["video"].clone().requires_grad_()
    pooled = pooled_loss(leaf, whole["text"], whole["video_valid"], whole["text_valid"], logit_scale=2.0)
    pooled.backward()
    torch.testing.assert_close(parts[0][1][0], pooled.detach(), rtol=0, atol=1e-10)
    joined = torch.cat([part[1][1] for part in parts]) / len(counts)
    torch.testing.assert_close(joined, leaf.grad, rtol=0, atol=1e-10)


def test_gradcheck() -> None:
    data = make_batch(1, 3)

    def loss(video: Tensor, text: Tensor, augmented: Tensor, scale: Tensor) -> Tensor:
        return retrieval_loss(
            video,
            text,
            data["video_valid"],
            data["text_valid"],
            logit_scale=scale,
            text_tokens_augmented=augmented,
            text_valid_augmented=data["augmented_valid"],
        )

    assert torch.autograd.gradcheck(loss, tuple(data[name].requires_grad_() for name in LEAVES))


def test_augmented_text_feeds_the_text_to_video_direction_only() -> None:
    data = make_batch(2, 4)
    masks = (data["video_valid"], data["text_valid"])
    v2t, _ = similarity(data["video"], data["text"], *masks)
    _, t2v = similarity(data["video"], data["augmented"], data["video_valid"], data["augmented_valid"])
    right = torch.arange(4)
    logits = [s * math.exp(2.0) for s in (v2t, v2t.T, t2v.T, t2v)]
    expected = sum(functional.cross_entropy(s, right) for s in logits) / 4
    found = retrieval_loss(
        data["video"],
        data["text"],
        *masks,
        logit_scale=2.0,
        text_tokens_augmented=data["augmented"],
        text_valid_augmented=data["augmented_valid"],
    )
    torch.testing.assert_close(found, expected)


def test_pooled_loss_is_the_contrastive_loss_of_cosines() -> None:
    data = make_batch(3, 4)
    sides = (data["video"], data["text"], data["video_valid"], data["text_valid"])
    logits = pooled_similarity(*sides) * math.exp(2.0)
    right = torch.arange(4)
    expected = (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2
    torch.testing.assert_close(pooled_loss(*sides, logit_scale=2.0), expected)


def test_what_is_no_batch_of_pairs_is_refused() -> None:
    data = make_batch(4, 4)
    sides = (data["video"], data["text"], data["video_valid"], data["text_valid"])
    with pytest.raises(ValueError, match="3 videos, 4 texts"):
        retrieval_loss(sides[0][:3], sides[1], sides[2][:3], sides[3], logit_scale=0.0)
    with pytest.raises(ValueError, match="balance, depart, not 'both'"):
        retrieval_loss(*sides, logit_scale=0.0, design="both")
    with pytest.raises(ValueError, match="both its tokens and their mask"):
        retrieval_loss(*sides, logit_scale=0.0, text_tokens_augmented=data["augmented"])
