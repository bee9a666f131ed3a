"""What each worker of the sign encoder's training does: random windows, augmented, epoch after epoch."""

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from cico_model.sign_encoder import SignEncoder
from cico_platform.training.checkpoints import State
from cico_platform.training.data.sample_store import SampleStore
from cico_platform.training.data.window_loader import (
    Window,
    WindowLoader,
    WindowSettings,
    draw_window,
    middle_window,
)
from cico_platform.training.session import Session, fetched, takes_bfloat16, wrap

EVALUATION_BATCH = 32
STEP_EPOCHS = (20, 40)
SGD_MOMENTUM = 0.9
MAX_GRAD_NORM = 5.0
DIVERGED = "the loss is no longer a number; lower the learning rate"
FRESH_BATCH_NORM_MOMENTUM = 0.1


def train_loop(config: dict[str, Any], session: Session) -> None:
    """Train on this worker; `config` is what `train_sign_encoder` gives."""
    training = Training(config, session)
    with training.train_windows, training.held_out_windows:
        while training.epoch < training.settings.epochs:
            training.run_epoch()
    training.close()


class Training:
    """The network, its optimiser and where they are; all of it is in `state` and comes back from one."""

    def __init__(self, config: dict[str, Any], session: Session) -> None:
        self.config, self.settings = config, config["settings"]
        self.session, self.place = session, session.place
        self.samples, self.held_out = SampleStore(config["samples"]), SampleStore(config["held_out"])
        self.train_windows, self.held_out_windows = (
            WindowLoader(store, config["config"], self.place.device, torch.get_num_threads())
            for store in (self.samples, self.held_out)
        )
        torch.manual_seed(self.settings.seed)
        encoder = _network({**config, "weights": fetched(config["weights"])}).to(self.place.device)
        self.encoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.model = wrap(self.encoder, self.place)
        self.targets, self.held_out_targets = (
            _targets(store, config["labels"]) for store in (self.samples, self.held_out)
        )
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
        settings, epoch = self.settings, self.epoch
        torch.manual_seed(settings.seed * 10007 + epoch)
        if self.batch:
            self.session.resume_random()
        plan = _plan(len(self.samples), settings, epoch)
        batches = self.train_windows.batches(self.windows(plan[self.batch :]))
        done, began = 0, time.perf_counter()
        for clips, samples in batches:
            targets = self.targets[samples]
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

    def windows(self, plan: list[tuple[float, list[int]]]) -> Iterator[list[Window]]:
        """This worker's share of each batch; the same windows whatever the number of workers."""
        settings, size = self.settings, self.config["config"]
        drawing = WindowSettings(
            seed=settings.seed, flip=settings.flip, speed=settings.speed, backdrop=settings.backdrop
        )
        epoch = self.epoch
        for over, batch in plan:
            progress = (epoch + over) / settings.epochs
            yield [
                draw_window(self.samples, size, drawing, epoch, draw, progress)
                for draw in self.place.share(batch)
            ]

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
            metrics["accuracy"] = self.accuracy()
        self.history.append({"epoch": self.epoch, **metrics})
        return metrics

    @torch.inference_mode()
    def accuracy(self) -> float:
        """Percent of the held-out signs whose middle window gets their label."""
        self.encoder.eval()
        every, device = range(len(self.held_out)), self.place.device
        windows = (
            [middle_window(self.held_out, sample) for sample in every[first : first + EVALUATION_BATCH]]
            for first in every[::EVALUATION_BATCH]
        )
        right = 0
        for clips, samples in self.held_out_windows.batches(windows):
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
                found = self.encoder(clips).logits.argmax(dim=1).cpu()
            right += int((found == self.held_out_targets[samples]).sum())
        return round(100.0 * right / len(self.held_out), 2)

    def close(self) -> None:
        """Remove copies of remote samples from this machine."""
        for store in (self.samples, self.held_out):
            store.close()


def _targets(store: SampleStore, labels: list[str]) -> Tensor:
    """Class of each sample, int64 [N]."""
    numbers = {label: number for number, label in enumerate(labels)}
    of_label = np.array([numbers[label] for label in store.index.labels], dtype=np.int64)
    return torch.from_numpy(of_label[store.index.label_numbers])


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
