"""On a GPU the library says what it says on a CPU. Skipped where there is none."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_encoders import settled_encoder, steady_encoder

from cico_model.accumulation import two_pass_backward
from cico_model.augmentation import augment_clips, draw_augmentation
from cico_model.clips import window_starts, windows
from cico_model.config import TOWERS, SignEncoderConfig
from cico_model.inference import Precision, optimize_for_inference
from cico_model.loss import retrieval_loss
from cico_model.model import PairBatch, RetrievalModel
from cico_model.optimizer import PublishedAdam
from cico_model.similarity import score_matrix
from cico_model.text import CorpusTokenizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
MICRO = SignEncoderConfig("micro", 0.25, 64)
TEXTS = ["the cat sleeps", "a dog eats", "birds fly south", "we swim at night", "rain", "they all sing it"]


@pytest.mark.parametrize(
    ("kind", "precision", "cosine"),
    [
        ("steady", "float32", 0.999999),
        ("steady", "bfloat16", 0.9999),
        # Its features tell windows apart, and blow rounding up.
        ("settled", "float32", 0.9999),
        ("settled", "bfloat16", 0.8),
    ],
)
def test_windows_of_videos_are_encoded_as_on_a_cpu(kind: str, precision: Precision, cosine: float) -> None:
    clips = torch.rand(12, 3, 16, 64, 64, generator=torch.Generator().manual_seed(1)) - 0.5
    network = steady_encoder(7, MICRO) if kind == "steady" else settled_encoder(7, MICRO, clips)
    rng = np.random.default_rng(0)
    lengths = (57, 16, 40, 3)
    videos = [rng.integers(0, 256, (n, MICRO.resize, MICRO.resize, 3), dtype=np.uint8) for n in lengths]
    starts = [window_starts(n) for n in lengths]
    starts[2] = [24, 3, 3, 0]
    fast = optimize_for_inference(copy.deepcopy(network).cuda(), precision)
    found = fast.encode(videos, starts)
    for video, chosen, output in zip(videos, starts, found, strict=True):
        clips = torch.cat([windows(video, [start], MICRO) for start in chosen])
        with torch.inference_mode():
            expected = network(clips)
        for values in (output.embedding, fast(clips).embedding):
            assert values.device.type == "cpu"
            assert values.dtype == torch.float32
            assert float(torch.cosine_similarity(values, expected.embedding).min()) >= cosine


@pytest.mark.parametrize("masked", [True, False])
def test_scores_losses_and_gradients_are_those_of_a_cpu(golden_dir: Path, masked: bool) -> None:
    golden = np.load(golden_dir / "similarity_loss.npz")
    found = []
    for device in ("cpu", "cuda"):
        video, text, augmented = (
            torch.from_numpy(golden[name]).to(device).requires_grad_()
            for name in ("video_tokens", "text_tokens", "text_tokens_aug")
        )
        valid = (torch.from_numpy(golden["ref_video_mask"]) == 0).to(device)
        text_valid, augmented_valid = (
            (torch.from_numpy(golden[name]) > 0).to(device) for name in ("text_mask", "text_mask_aug")
        )
        scale = torch.tensor(math.log(1 / 0.07), device=device, requires_grad=True)
        loss = retrieval_loss(
            video,
            text,
            valid,
            text_valid,
            logit_scale=scale,
            text_tokens_augmented=augmented,
            text_valid_augmented=augmented_valid,
            mask_padding=masked,
        )
        loss.backward()
        grads = [leaf.grad for leaf in (video, text, augmented, scale)]
        scores = score_matrix(video.detach(), text.detach(), valid, text_valid, mask_padding=masked)
        found.append([loss.detach().cpu(), scores.cpu(), *(g.cpu() for g in grads if g is not None)])
    assert len(found[0]) == 6
    for on_cpu, on_gpu in zip(*found, strict=True):
        assert float((on_cpu - on_gpu).abs().max()) <= 1e-5
    if not masked:
        assert abs(float(found[1][0]) - float(golden["aug_balance_0.5_loss"])) <= 1e-5


@pytest.mark.parametrize("piece", [1, 4])
def test_two_passes_draw_the_same_dropout_again(piece: int) -> None:
    """Each piece is encoded twice; were other units dropped the second time, the gradients would differ."""
    torch.manual_seed(0)
    config = TOWERS["tiny"]
    model = RetrievalModel(config, CorpusTokenizer.train(TEXTS * 2)).cuda().train()
    text = model.tokenise(TEXTS)
    features = torch.randn(6, 9, config.feature_dim)
    batch = PairBatch(
        *(t.cuda() for t in (features, torch.ones(6, 9, dtype=torch.bool), text.ids, text.valid))
    )
    torch.manual_seed(1)
    loss = two_pass_backward(model, batch, piece)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    after = torch.cuda.get_rng_state()
    model.zero_grad()
    torch.manual_seed(1)
    parts = [model.encode_pairs(part) for part in _pieces(batch, piece)]
    assert torch.equal(torch.cuda.get_rng_state(), after)
    whole = type(parts[0])._make(None if c[0] is None else torch.cat(c) for c in zip(*parts, strict=True))
    expected = model.loss(whole)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
    largest = max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert float((parameter.grad - found[name]).abs().max()) <= 1e-5 * largest, name


def _pieces(batch: PairBatch, piece: int) -> list[PairBatch]:
    starts = range(0, len(batch.features), piece)
    return [PairBatch._make(None if t is None else t[s : s + piece] for t in batch) for s in starts]


def test_windows_are_augmented_as_on_a_cpu() -> None:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (20 * 16, 3, 9, 9))).float()
    smooth = torch.nn.functional.interpolate(coarse, (MICRO.resize,) * 2, mode="bicubic").clamp(0, 255)
    shape = (20, 16, MICRO.resize, MICRO.resize, 3)
    clips = smooth.to(torch.uint8).permute(0, 2, 3, 1).reshape(shape).contiguous()
    drawn = [draw_augmentation(MICRO.resize, MICRO, rng) for _ in clips]
    here, there = augment_clips(clips, drawn, MICRO), augment_clips(clips.cuda(), drawn, MICRO)
    assert there.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1.5 / 255)


def test_the_published_optimiser_walks_the_path_of_a_cpu() -> None:
    def walk(device: str) -> list[torch.Tensor]:
        draw = torch.Generator().manual_seed(0)
        weights = [torch.randn(shape, generator=draw).to(device) for shape in ((33, 17), (5,), ())]
        for weight in weights:
            weight.requires_grad_()
        groups = [{"params": weights[:1], "weight_decay": 0.1}, {"params": weights[1:]}]
        optimizer = PublishedAdam(groups, lr=0.01, total_steps=20)
        for _ in range(20):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=draw).to(device)
            optimizer.step()
        return [weight.detach().cpu() for weight in weights]

    for here, there in zip(walk("cpu"), walk("cuda"), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-6)
