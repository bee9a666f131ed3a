"""What each worker of the sign encoder's training does: random windows, augmented, epoch after epoch."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cico_model.augmentation import augment_clip, backdrop_of, fade_backdrop, fading, random_window
from cico_model.clips import centre_crop, normalise
from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignEncoder
from cico_platform.training.runs import Saver, Worker, fast_bfloat16, load_state, worker, wrap
from cico_platform.training.samples import Reader, Samples, middle_window

EVALUATION_BATCH = 32
STEP_EPOCHS = (20, 40)
SGD_MOMENTUM = 0.9
MAX_GRAD_NORM = 5.0
DIVERGED = "the loss is no longer a number; lower the learning rate"
FRESH_BATCH_NORM_MOMENTUM = 0.1
# Backdrops that a worker remembers; others are found anew each time.
BACKDROP_BYTES = 1 << 28


def train_loop(config: dict[str, Any]) -> None:
    """Train on this worker; `config` is what `train_sign_encoder` gives."""
    settings, place = config["settings"], worker(config["threads"])
    torch.manual_seed(settings.seed)
    encoder = _network(config).to(place.device)
    encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    model = wrap(encoder, place)
    samples, held_out = config["samples"], config["held_out"]
    numbers = {label: number for number, label in enumerate(config["labels"])}
    steps = math.ceil(len(samples) * settings.windows_per_sample / settings.batch_size)
    optimizer, schedule = _optimizer(encoder, settings, steps)
    first = 0
    state = load_state(place)
    if state is not None:
        encoder.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = int(state["epoch"])
    saver = Saver(place, config["folder"])
    for epoch in range(first, settings.epochs):
        torch.manual_seed(settings.seed * 10007 + epoch)
        loss = _epoch(model, optimizer, schedule, (samples, numbers), config, place, epoch)
        metrics = {"epoch": epoch + 1, "loss": round(loss, 4), "lr": schedule.get_last_lr()[0]}
        if len(held_out) and place.rank == 0:
            metrics["accuracy"] = _accuracy(encoder, held_out, numbers, config["config"], place)
        saved = {
            "epoch": epoch + 1,
            "model": encoder.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
        }
        saver.save(saved, metrics, last=epoch + 1 == settings.epochs)


def _network(config: dict[str, Any]) -> SignEncoder:
    """A fresh network, or the one to start from; its classifier is kept where it knows the same signs."""
    encoder = SignEncoder(len(config["labels"]), config["config"])
    encoder.dropout.p = config["settings"].dropout
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = FRESH_BATCH_NORM_MOMENTUM  # 0.01 would not forget the start of a short training
    if config["weights"] is not None:
        kept = {
            name: value
            for name, value in config["weights"].items()
            if config["same_signs"] or not name.startswith("logits.")
        }
        encoder.load_state_dict(kept, strict=False)
    return encoder


def _optimizer(encoder: SignEncoder, settings: Any, steps: int) -> tuple[Any, Any]:
    decayed = [p for p in encoder.parameters() if p.ndim > 1]
    free = [p for p in encoder.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(groups, lr=settings.lr, momentum=SGD_MOMENTUM)
    else:
        optimizer = torch.optim.AdamW(groups, lr=settings.lr, fused=True)
    total = max(1, steps * settings.epochs)

    def factor(step: int) -> float:
        if settings.schedule == "steps":
            passed = sum(step >= epoch * steps for epoch in STEP_EPOCHS)
            return math.pow(0.1, passed)
        progress = (step + 1) / total
        if progress < settings.warmup:
            return float(progress / settings.warmup)
        left = (progress - float(settings.warmup)) / (1 - float(settings.warmup))
        return 0.5 * (1 + math.cos(math.pi * left))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _epoch(
    model: nn.Module,
    optimizer: Any,
    schedule: Any,
    data: tuple[Samples, dict[str, int]],
    config: dict[str, Any],
    place: Worker,
    epoch: int,
) -> float:
    settings, total, count = config["settings"], 0.0, 0
    model.train()
    bfloat16 = fast_bfloat16(place.device)
    batches = _batches(*data, config, place, epoch)
    # On a CPU the network has all cores already: preparing beside it would only be in its way.
    for clips, targets in batches if place.device.type == "cpu" else _ahead(batches):
        clips = clips.to(place.device, memory_format=torch.channels_last_3d)
        targets = targets.to(place.device)
        with torch.autocast(place.device.type, torch.bfloat16, enabled=bfloat16):
            logits = model(clips).logits
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(DIVERGED)
        total, count = total + value, count + 1
    return total / max(count, 1)


def _batches(
    samples: Samples, numbers: dict[str, int], config: dict[str, Any], place: Worker, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """This worker's part of each batch; the same windows whatever the number of workers."""
    settings, size = config["settings"], config["config"]
    order = np.random.default_rng([settings.seed, epoch]).permutation(
        len(samples) * settings.windows_per_sample
    )
    reader, backdrops = samples.reader(), config.setdefault("backdrops", {})
    for first in range(0, len(order), settings.batch_size):
        batch = order[first : first + settings.batch_size].tolist()
        share = place.share(batch)
        if len(batch) < place.count:  # too few for every worker to have one
            continue
        clips = []
        for draw in share:
            rng = np.random.default_rng([settings.seed, epoch, draw])
            progress = (epoch + first / len(order)) / settings.epochs
            frames = _window(reader, backdrops, draw % len(samples), settings, progress, rng)
            clips.append(augment_clip(frames, size, rng, flip=settings.flip))
        targets = [numbers[samples.labels[draw % len(samples)]] for draw in share]
        # Pixels last in memory, as they were cut: the layout in which the network is fast.
        together = torch.stack([clip.permute(1, 2, 3, 0) for clip in clips]).permute(0, 4, 1, 2, 3)
        yield together, torch.tensor(targets)


def _window(
    reader: Reader,
    backdrops: dict[int, NDArray[np.uint8]],
    sample: int,
    settings: Any,
    progress: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """A random window of a sample, at another speed now and then, its backdrop faded while it is time."""
    frames = reader[sample]
    window = random_window(frames, rng, settings.speed)
    share = fading(progress, settings.backdrop, rng)
    if share <= 0:
        return window
    backdrop = backdrops.get(sample)
    if backdrop is None:
        backdrop = backdrop_of(frames)
        if len(backdrops) * backdrop.nbytes < BACKDROP_BYTES:
            backdrops[sample] = backdrop
    return fade_backdrop(window, backdrop, share)


def _ahead(batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches, the next one being prepared while one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


@torch.inference_mode()
def _accuracy(
    encoder: SignEncoder,
    held_out: Samples,
    numbers: dict[str, int],
    size: SignEncoderConfig,
    place: Worker,
) -> float:
    """Percent of the held-out signs whose middle window gets their label."""
    encoder.eval()
    reader, right = held_out.reader(), 0
    for first in range(0, len(held_out), EVALUATION_BATCH):
        rows = range(first, min(first + EVALUATION_BATCH, len(held_out)))
        frames = np.stack([centre_crop(middle_window(reader[i]), size.frame_size) for i in rows])
        clips = normalise(torch.from_numpy(frames)).permute(0, 4, 1, 2, 3).contiguous().to(place.device)
        with torch.autocast(place.device.type, torch.bfloat16, enabled=fast_bfloat16(place.device)):
            found = encoder(clips).logits.argmax(dim=1).tolist()
        right += sum(f == numbers[held_out.labels[i]] for f, i in zip(found, rows, strict=True))
    return round(100.0 * float(right) / len(held_out), 2)
