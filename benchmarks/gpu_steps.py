"""Training steps of the paper's networks on a GPU: of the two towers, and of the sign encoder.

Needs PyTorch and this repository, no Ray. Each row is a JSON object on a line of standard output.
`benchmarks/gpu.sh` runs it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from cico_model.accumulation import two_pass_backward  # noqa: E402
from cico_model.augmentation import augment_clips, draw_augmentation  # noqa: E402
from cico_model.checks import values_unchecked  # noqa: E402
from cico_model.config import SIGN_ENCODERS, TOWERS, TowerConfig  # noqa: E402
from cico_model.model import PairBatch, RetrievalModel  # noqa: E402
from cico_model.optimizer import PublishedAdam, parameter_groups  # noqa: E402
from cico_model.sign_encoder import SignEncoder  # noqa: E402
from cico_model.text import CorpusTokenizer  # noqa: E402
from cico_model.towers import TextTower, VideoTower  # noqa: E402
from cico_platform.training.compilation import compile_module, compiled  # noqa: E402
from cico_platform.training.data.device_batches import built_ahead, on_device  # noqa: E402

PAIRS, CLASSES = 128, 1000
WINDOWS = {"paper": 32, "small": 64, "tiny": 64}
Step = Callable[[], None]


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["retrieval", "sign-encoder"])
    parser.add_argument("--size", default="paper", choices=["paper", "small", "tiny"])
    parser.add_argument("--compile", default="off", choices=["off", "default", "reduce-overhead"])
    parser.add_argument("--optimizer", default="adamw", choices=["adamw", "published"])
    parser.add_argument(
        "--before", action="store_true", help="the step as it was: checked, waited for, copied first"
    )
    parser.add_argument("--piece", type=int, default=0)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    torch.manual_seed(0)
    measured = _retrieval(asked, device) if asked.part == "retrieval" else _sign_encoder(asked, device)
    about = {name: value for name, value in vars(asked).items() if value not in (False, 0)}
    print(json.dumps({**about, **measured, "gpu": _name(device), "torch": torch.__version__}), flush=True)


def _retrieval(asked: Any, device: torch.device) -> dict[str, float]:
    """A step of both towers: batches of all windows and tokens that the model takes, drawn."""
    config, pairs = TOWERS[asked.size], asked.batch or PAIRS
    towers = VideoTower(config), TextTower(config)
    model = RetrievalModel(config, CorpusTokenizer.train(["a text"]), towers).to(device).train()
    groups = parameter_groups(model, 1e-5)
    optimizer: torch.optim.Optimizer = (
        PublishedAdam(groups, 1e-5, total_steps=1000)
        if asked.optimizer == "published"
        else torch.optim.AdamW(groups, lr=1e-5, fused=True)
    )
    if asked.before and asked.optimizer == "published":
        optimizer.update_together = lambda parameters, group: [  # type: ignore[attr-defined]
            optimizer._update(parameter, group)  # type: ignore[attr-defined]
            for parameter in parameters
        ]
    if asked.compile != "off":
        for tower in towers:
            tower.encode = compiled(tower.encode, asked.compile)  # type: ignore[method-assign]
    drawn = [_drawn_pairs(config, pairs) for _ in range(4)]
    batches = _batches(drawn, device, asked.before)
    autocast = torch.bfloat16 if device.type == "cuda" else None
    pending: list[Tensor] = []

    def step() -> None:
        batch = PairBatch(*next(batches))
        optimizer.zero_grad(set_to_none=True)
        if asked.compile != "off":
            torch.compiler.cudagraph_mark_step_begin()
        with nullcontext() if asked.before else values_unchecked():
            if asked.piece:
                loss = two_pass_backward(model, batch, asked.piece, autocast=autocast)
            else:
                with torch.autocast(device.type, autocast, enabled=autocast is not None):
                    loss = model(*batch)
                loss.backward()
        _finish(model, optimizer, loss.detach(), pending, asked.before, 1.0)
        model.clamp_logit_scale()

    return _measure(step, asked.steps, pairs, "pairs_per_s", device)


def _sign_encoder(asked: Any, device: torch.device) -> dict[str, float]:
    """A step of the sign encoder on windows of bytes: copied, augmented, forward, backward, optimiser."""
    config, count = SIGN_ENCODERS[asked.size], asked.batch or WINDOWS[asked.size]
    encoder = SignEncoder(CLASSES, config).to(device).to(memory_format=torch.channels_last_3d).train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-4, fused=True)
    if asked.compile != "off":
        compile_module(encoder, asked.compile)
    side = config.resize
    drawn = [
        (
            torch.randint(0, 256, (count, 16, side, side, 3), dtype=torch.uint8),
            torch.randint(CLASSES, (count,)),
        )
        for _ in range(2)
    ]
    batches = _batches(drawn, device, asked.before)
    is_bfloat16 = device.type == "cuda"
    import numpy as np

    rng, pending = np.random.default_rng(0), list[Tensor]()

    def step() -> None:
        frames, targets = next(batches)
        clips = augment_clips(frames, [draw_augmentation(side, config, rng) for _ in range(count)], config)
        optimizer.zero_grad(set_to_none=True)
        if asked.compile != "off":
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(device.type, torch.bfloat16, enabled=is_bfloat16):
            logits = encoder(clips).logits
        loss = nn.functional.cross_entropy(logits.float(), targets)
        loss.backward()
        _finish(encoder, optimizer, loss.detach(), pending, asked.before, 5.0)

    return _measure(step, asked.steps, count, "windows_per_s", device)


def _finish(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    pending: list[Tensor],
    waits: bool,
    norm: float,
) -> None:
    """Clip, step, and read the loss: at once, or sixteen together."""
    nn.utils.clip_grad_norm_(model.parameters(), norm)
    optimizer.step()
    pending.append(loss)
    if waits or len(pending) == 16:
        torch.stack(pending).tolist()
        pending.clear()


def _drawn_pairs(config: TowerConfig, pairs: int) -> tuple[Tensor, ...]:
    windows = torch.ones(pairs, config.max_windows, dtype=torch.bool)
    tokens = torch.ones(pairs, config.context_length, dtype=torch.bool)
    features = torch.randn(*windows.shape, config.feature_dim)
    ids, augmented = (torch.randint(0, config.vocab_size, tokens.shape) for _ in range(2))
    return features, windows, ids, tokens, augmented, tokens.clone()


def _batches(
    drawn: list[tuple[Tensor, ...]], device: torch.device, before: bool
) -> Iterator[tuple[Tensor, ...]]:
    """The drawn batches again and again: copied when they are needed, or ahead out of pinned memory."""

    def endless() -> Iterator[tuple[None, tuple[Tensor, ...]]]:
        while True:
            for tensors in drawn:
                yield None, tuple(tensor.clone() for tensor in tensors)

    if before:
        return (tuple(tensor.to(device) for tensor in tensors) for _, tensors in endless())
    return (tensors for _, tensors in on_device(built_ahead(endless(), device), device))


def _measure(step: Step, steps: int, items: int, unit: str, device: torch.device) -> dict[str, float]:
    """Warm up, then take steps for as long as they need; the median of five parts."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    began = time.perf_counter()
    for _ in range(5):
        step()
    synchronise()
    warm_up = time.perf_counter() - began
    parts = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(max(1, steps // 5)):
            step()
        synchronise()
        parts.append((time.perf_counter() - began) / max(1, steps // 5))
    median = sorted(parts)[2]
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    return {
        "ms_per_step": round(1000 * median, 2),
        "slowest_ms": round(1000 * max(parts), 2),
        unit: round(items / median, 1),
        "warm_up_s": round(warm_up, 1),
        "peak_gib": round(memory, 2),
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "none"


if __name__ == "__main__":
    main()
