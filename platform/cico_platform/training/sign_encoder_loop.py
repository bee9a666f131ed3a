"""What each worker of the sign encoder's training does: random windows, augmented, epoch after epoch."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cico_model.augmentation import augment_clip, backdrop_of, fade_backdrop, fading, random_window
from cico_model.clips import centre_crop, normalise
from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignEncoder
from cico_platform.training.checkpoints import State
from cico_platform.training.samples import Reader, Samples, middle_window
from cico_platform.training.session import Session, Worker, fetched, takes_bfloat16, wrap

EVALUATION_BATCH = 32
STEP_EPOCHS = (20, 40)
SGD_MOMENTUM = 0.9
MAX_GRAD_NORM = 5.0
DIVERGED = "the loss is no longer a number; lower the learning rate"
FRESH_BATCH_NORM_MOMENTUM = 0.1
# Backdrops that a worker remembers; others are found anew each time.
BACKDROP_BYTES = 1 << 28


def train_loop(config: dict[str, Any], session: Session) -> None:
    """Train on this worker; `config` is what `train_sign_encoder` gives."""
    training = Training(config, session)
    while training.epoch < training.settings.epochs:
        training.run_epoch()


class Training:
    """The network, its optimiser and where they are; all of it is in `state` and comes back from one."""

    def __init__(self, config: dict[str, Any], session: Session) -> None:
        self.config, self.settings = config, config["settings"]
        self.session, self.place = session, session.place
        self.samples, self.held_out = config["samples"], config["held_out"]
        torch.manual_seed(self.settings.seed)
        encoder = _network({**config, "weights": fetched(config["weights"])}).to(self.place.device)
        self.encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.model = wrap(self.encoder, self.place)
        self.numbers = {label: number for number, label in enumerate(config["labels"])}
        self.steps = len(_plan(len(self.samples), self.settings, 0))
        self.optimizer, self.schedule = _optimizer(self.encoder, self.settings, self.steps)
        self.bfloat16 = takes_bfloat16(self.settings.precision, self.place.device, on_cpu=True)
        self.epoch = self.batch = 0
        self.total, self.count = 0.0, 0
        self.history: list[dict[str, Any]] = []
        if session.restored is not None:
            self.restore(session.restored)
            session.restored = None  # as large as the model and its optimiser

    def state(self) -> State:
        """Everything that a later process needs to go on as if nothing had happened."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "total": self.total,
            "count": self.count,
            "history": self.history,
            "model": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self.encoder.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])
        self.total, self.count = float(state["total"]), int(state["count"])
        self.history = list(state["history"])

    def run_epoch(self) -> None:
        """Take the steps of an epoch that are left."""
        settings, epoch, place = self.settings, self.epoch, self.place
        torch.manual_seed(settings.seed * 10007 + epoch)
        if self.batch:
            self.session.resume_random()
        plan = _plan(len(self.samples), settings, epoch)
        batches = _batches(self.samples, self.numbers, self.config, place, epoch, plan[self.batch :])
        done, began = 0, time.perf_counter()
        # On a CPU the network has all cores already: preparing beside it would only be in its way.
        for clips, targets in batches if place.device.type == "cpu" else _ahead(batches):
            self.model.train()
            lr = float(self.schedule.get_last_lr()[0])
            size = len(plan[self.batch][1])
            loss = self.step(clips, targets, size)
            self.total, self.count = self.total + loss * size, self.count + size
            done += size
            row = {
                "epoch": epoch + 1,
                "steps": self.steps * settings.epochs,
                "loss": loss,
                "lr": lr,
                "samples_per_second": round(done / (time.perf_counter() - began), 2),
            }
            self.batch += 1
            ended = self.batch == len(plan)
            if ended:
                row |= self.end_epoch()
            last = self.epoch == settings.epochs
            self.session.after_step(row, self.state, end_of_epoch=ended, last=last)

    def step(self, clips: Tensor, targets: Tensor, size: int) -> float:
        """One step of the optimiser on this worker's share of a batch of `size`; returns the batch's loss.

        Raises
        ------
        FloatingPointError
            If the loss is no longer a number.
        """
        place = self.place
        clips = clips.to(place.device, memory_format=torch.channels_last_3d)
        targets = targets.to(place.device)
        with torch.autocast(place.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.model(clips).logits
        smoothing = self.settings.label_smoothing
        mean = functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
        # Averaged over the workers, as gradients are, it is the mean over the batch however it is shared out.
        loss = mean * (len(targets) * place.count / size)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
        self.optimizer.step()
        self.schedule.step()
        whole = loss.detach().clone() / place.count
        if place.count > 1:
            dist.all_reduce(whole)
        value = float(whole)
        if not math.isfinite(value):
            raise FloatingPointError(DIVERGED)
        return value

    def end_epoch(self) -> dict[str, Any]:
        """Close the epoch: its mean loss, and the accuracy on held-out signs (first worker)."""
        self.epoch, self.batch = self.epoch + 1, 0
        metrics = {"loss": round(self.total / max(1, self.count), 4), "lr": self.schedule.get_last_lr()[0]}
        self.total, self.count = 0.0, 0
        if len(self.held_out) and self.place.rank == 0:
            found = _accuracy(self.encoder, self.held_out, self.numbers, self.config["config"], self.bfloat16)
            metrics["accuracy"] = found
        self.history.append({"epoch": self.epoch, **metrics})
        return metrics


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


def _plan(samples: int, settings: Any, epoch: int) -> list[tuple[float, list[int]]]:
    """An epoch's global batches of draws, and the part of the epoch that is over before each."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(samples * settings.windows_per_sample)
    batches = [
        (first / len(order), order[first : first + settings.batch_size].tolist())
        for first in range(0, len(order), settings.batch_size)
    ]
    # A rest that is too small for every worker to have a part is left out, unless it is all there is.
    return [batch for batch in batches if len(batch[1]) >= settings.run.workers] or batches[:1]


def _batches(
    samples: Samples,
    numbers: dict[str, int],
    config: dict[str, Any],
    place: Worker,
    epoch: int,
    plan: list[tuple[float, list[int]]],
) -> Iterator[tuple[Tensor, Tensor]]:
    """This worker's part of each batch; the same windows whatever the number of workers."""
    settings, size = config["settings"], config["config"]
    reader, backdrops = samples.reader(), config.setdefault("backdrops", {})
    for over, batch in plan:
        share = place.share(batch)
        clips = []
        for draw in share:
            rng = np.random.default_rng([settings.seed, epoch, draw])
            progress = (epoch + over) / settings.epochs
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
    bfloat16: bool,
) -> float:
    """Percent of the held-out signs whose middle window gets their label."""
    encoder.eval()
    device = encoder.logits.conv3d.weight.device
    reader, right = held_out.reader(), 0
    for first in range(0, len(held_out), EVALUATION_BATCH):
        rows = range(first, min(first + EVALUATION_BATCH, len(held_out)))
        frames = np.stack([centre_crop(middle_window(reader[i]), size.frame_size) for i in rows])
        clips = normalise(torch.from_numpy(frames)).permute(0, 4, 1, 2, 3).contiguous().to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            found = encoder(clips).logits.argmax(dim=1).tolist()
        right += sum(f == numbers[held_out.labels[i]] for f, i in zip(found, rows, strict=True))
    return round(100.0 * float(right) / len(held_out), 2)
