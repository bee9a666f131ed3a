"""The task of training the sign encoder: random windows, augmented; accuracy on held-out signs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignEncoder
from cico_platform.training.compilation import CompileMode, compile_module
from cico_platform.training.data.sample_store import SampleStore
from cico_platform.training.data.window_loader import (
    Window,
    WindowLoader,
    WindowSettings,
    draw_window,
    middle_window,
)
from cico_platform.training.precision import Precision
from cico_platform.training.session import Session, fetched
from cico_platform.training.sign_encoder_settings import SignEncoderSettings
from cico_platform.training.task import Batch, Metrics, Plan, Task
from cico_platform.training.trainer import Trainer
from cico_platform.training.workers import chunks, gather, share_buffers

EVALUATION_BATCH = 32
STEP_EPOCHS = (20, 40)
SGD_MOMENTUM = 0.9
MAX_GRAD_NORM = 5.0
FRESH_BATCH_NORM_MOMENTUM = 0.1
# Windows float32 [B, 3, 16, S, S] in [-0.5, 0.5], channels last in memory, and their classes, int64 [B].
Clips = tuple[Tensor, Tensor]
BatchPlan = list[tuple[float, list[int]]]


@dataclass(frozen=True)
class SignEncoderRun:
    """What a worker needs to train a sign encoder.

    Attributes
    ----------
    labels
        The signs, in the order of the classes.
    weights
        To start from, or a reference to them in Ray's object store; None starts from nothing.
    same_signs
        Whether `weights` classify the same signs.
    samples, held_out
        Sample stores.
    keys
        Of what both hold (`StoreSummary.key`); "" where that is not known.
    """

    settings: SignEncoderSettings
    config: SignEncoderConfig
    labels: list[str]
    weights: Mapping[str, Tensor] | Any | None
    same_signs: bool
    samples: str
    held_out: str
    keys: tuple[str, str] = ("", "")


def train_loop(run: SignEncoderRun, session: Session) -> None:
    """Train a sign encoder on this worker."""
    Trainer(SignEncoderTask(run, session), session).run()


class SignEncoderTask(Task[Clips]):
    """Classification of windows."""

    def __init__(self, run: SignEncoderRun, session: Session) -> None:
        self.settings, self.config, self.worker = run.settings, run.config, session.worker
        folders = zip((run.samples, run.held_out), run.keys, strict=True)
        self.samples, self.held_out = (SampleStore(folder, key=key) for folder, key in folders)
        self.train_windows, self.held_out_windows = (
            WindowLoader(store, run.config, self.worker.device, torch.get_num_threads())
            for store in (self.samples, self.held_out)
        )
        torch.manual_seed(self.settings.seed)
        encoder = fresh_network(run).to(self.worker.device)
        self.model: SignEncoder = encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.targets, self.held_out_targets = (
            _targets(store, run.labels) for store in (self.samples, self.held_out)
        )
        self._steps = len(_plan(len(self.samples), self.settings, 0))
        self.plan = Plan(
            epochs=self.settings.epochs,
            total_steps=self._steps * self.settings.epochs,
            max_grad_norm=MAX_GRAD_NORM,
            patience=self.settings.patience,
            precision=self.settings.precision,
            bfloat16_on_cpu=True,
            compile_mode=self.settings.run.compile,
        )
        self.optimizer, self.schedule = _optimizer(self.model, self.settings, self._steps)

    def seed(self, epoch: int) -> int:
        """Return the seed of an epoch."""
        return self.settings.seed * 10007 + epoch

    def steps(self, epoch: int) -> int:
        """Return the number of batches of an epoch; all are alike."""
        return self._steps

    def batches(self, epoch: int, first: int) -> Iterator[Batch[Clips]]:
        """Give this worker's share of each batch; the same windows for any number of workers."""
        plan, device = _plan(len(self.samples), self.settings, epoch)[first:], self.worker.device
        loaded = self.train_windows.batches(self._windows(epoch, plan))
        for (_, draws), (clips, samples) in zip(plan, loaded, strict=True):
            clips = clips.to(device, memory_format=torch.channels_last_3d)
            yield Batch(len(draws), (clips, self.targets[samples].to(device)))

    def backward(self, network: nn.Module, batch: Batch[Clips], precision: Precision) -> Tensor:
        """Add the gradients of the mean cross entropy over the batch."""
        (clips, targets), count = batch.inputs, self.worker.count
        with precision.autocast():
            logits = network(clips).logits
        smoothing = self.settings.label_smoothing
        mean = functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
        # Averaged over the workers, as gradients are, it is the mean over the batch however it is shared out.
        loss = mean * (len(targets) * count / batch.size)
        torch.autograd.backward(loss)
        whole = loss.detach().clone() / count
        if count > 1:
            dist.all_reduce(whole)
        return whole

    def mean_loss(self, losses: Sequence[float], sizes: Sequence[int]) -> float:
        """Return the mean over windows."""
        total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        return round(total / max(1, sum(sizes)), 4)

    @torch.inference_mode()
    def validate(self, precision: Precision) -> Metrics:
        """Return the accuracy: percent of the held-out signs whose middle window gets their label."""
        count = len(self.held_out)
        if not count:
            return {}
        share_buffers(self.model, self.worker)
        self.model.eval()
        own = self.worker.share(chunks(count, EVALUATION_BATCH))
        windows = ([middle_window(self.held_out, sample) for sample in chunk] for chunk in own)
        right = 0
        for clips, samples in self.held_out_windows.batches(windows):
            with precision.autocast():
                found = self.model(clips).logits.argmax(dim=1).cpu()
            right += int((found == self.held_out_targets[samples]).sum())
        return {"accuracy": round(100.0 * sum(gather(right, self.worker)) / count, 2)}

    def score(self, metrics: Metrics) -> float:
        """Return the accuracy."""
        return float(metrics["accuracy"])

    def compile(self, mode: CompileMode) -> None:
        """Compile the network."""
        compile_module(self.model, mode)

    def close(self) -> None:
        """Stop the threads that decode; remove copies of remote samples from this machine."""
        for loader, store in ((self.train_windows, self.samples), (self.held_out_windows, self.held_out)):
            loader.close()
            store.close()

    def _windows(self, epoch: int, plan: BatchPlan) -> Iterator[list[Window]]:
        settings = self.settings
        drawing = WindowSettings(
            seed=settings.seed, flip=settings.flip, speed=settings.speed, backdrop=settings.backdrop
        )
        for over, batch in plan:
            progress = (epoch + over) / settings.epochs
            yield [
                draw_window(self.samples, self.config, drawing, epoch, draw, progress)
                for draw in self.worker.share(batch)
            ]


def fresh_network(run: SignEncoderRun) -> SignEncoder:
    """A fresh network, or the one to start from; its classifier is kept where it knows the same signs."""
    encoder = SignEncoder(len(run.labels), run.config)
    encoder.dropout.p = run.settings.dropout
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = FRESH_BATCH_NORM_MOMENTUM  # 0.01 would not forget the start of a short training
    if run.weights is not None:
        kept = {
            name: value
            for name, value in fetched(run.weights).items()
            if run.same_signs or not name.startswith("logits.")
        }
        encoder.load_state_dict(kept, strict=False)
    return encoder


def _targets(store: SampleStore, labels: list[str]) -> Tensor:
    """Class of each sample, int64 [N]."""
    numbers = {label: number for number, label in enumerate(labels)}
    of_label = np.array([numbers[label] for label in store.index.labels], dtype=np.int64)
    return torch.from_numpy(of_label[store.index.label_numbers])


def _optimizer(
    encoder: SignEncoder, settings: SignEncoderSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    decayed = [p for p in encoder.parameters() if p.ndim > 1]
    free = [p for p in encoder.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        fused = decayed[0].device.type == "cuda"
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            groups, lr=settings.lr, momentum=SGD_MOMENTUM, fused=fused
        )
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


def _plan(samples: int, settings: SignEncoderSettings, epoch: int) -> BatchPlan:
    """An epoch's global batches of draws, and the part of the epoch that is over before each."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(samples * settings.windows_per_sample)
    batches = [
        (first / len(order), order[first : first + settings.batch_size].tolist())
        for first in range(0, len(order), settings.batch_size)
    ]
    # A rest that is too small for every worker to have a part is left out, unless it is all there is.
    return [batch for batch in batches if len(batch[1]) >= settings.run.workers] or batches[:1]
