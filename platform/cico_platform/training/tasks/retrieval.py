"""The task of training the retrieval model: batches of pairs, the loss of all of them, R@1 on validation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cico_model.accumulation import two_pass_backward
from cico_model.checks import values_unchecked
from cico_model.config import TowerConfig
from cico_model.metrics import retrieval_metrics
from cico_model.model import PairBatch, RetrievalModel
from cico_model.optimizer import PublishedAdam, parameter_groups, warmup_cosine
from cico_model.text import TextTokenizer, augment_text
from cico_platform.training.compilation import CompileMode, compiled
from cico_platform.training.data.device_batches import built_ahead, on_device
from cico_platform.training.data.sampler import Sampler
from cico_platform.training.losses import DIVERGED
from cico_platform.training.pairs import Pairs, PairSource, opened
from cico_platform.training.precision import Precision
from cico_platform.training.retrieval_settings import RetrievalSettings
from cico_platform.training.session import Session, fetched
from cico_platform.training.shared_scoring import score_on_workers
from cico_platform.training.task import Batch, Metrics, Plan, Task
from cico_platform.training.text_tokens import TextTokens
from cico_platform.training.trainer import Trainer
from cico_platform.training.workers import agree

MAX_GRAD_NORM = 1.0
DIRECTIONS = ("t2v", "v2t")


@dataclass(frozen=True)
class RetrievalRun:
    """What a worker needs to train a retrieval model.

    Attributes
    ----------
    weights
        To start from, or a reference to them in Ray's object store.
    train, validation
        Pairs, or where a worker finds them.
    """

    settings: RetrievalSettings
    config: TowerConfig
    tokenizer: TextTokenizer
    weights: Mapping[str, Tensor] | Any
    train: Pairs | PairSource
    validation: Pairs | PairSource | None


def train_loop(run: RetrievalRun, session: Session) -> None:
    """Train a retrieval model on this worker."""
    Trainer(RetrievalTask(run, session), session).run()


class RetrievalTask(Task[PairBatch]):
    """Contrastive training of the two towers; the loss compares all pairs of all workers."""

    keeps_best = True

    def __init__(self, run: RetrievalRun, session: Session) -> None:
        self.settings, self.worker = run.settings, session.worker
        self.train = opened(run.train, session.note)
        self.validation = None if run.validation is None else opened(run.validation, session.note)
        self.model: RetrievalModel = RetrievalModel(run.config, run.tokenizer)
        self.model.load_state_dict(fetched(run.weights))
        self.tokens = TextTokens(self.model)
        self.model.to(self.worker.device)
        self.averages_gradients = bool(self.settings.piece)
        self.sampler = Sampler(self.train.text_of_video, self.settings.batch_size, self.settings.seed)
        self.plan = Plan(
            epochs=self.settings.epochs,
            total_steps=self.sampler.total_steps(self.settings.epochs),
            max_grad_norm=MAX_GRAD_NORM,
            validate_every=self.settings.evaluate_every,
            patience=self.settings.patience,
            precision=self.settings.precision,
            compile_mode=self.settings.run.compile,
        )
        self.optimizer, self.schedule = _optimizer(self.model, self.settings, self.plan.total_steps)
        self._windows: int | None = None

    def seed(self, epoch: int) -> int:
        """Return the seed of an epoch; each worker drops values of its own."""
        return self.settings.seed * 10007 + epoch * 101 + self.worker.rank

    def steps(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""
        return self.sampler.steps(epoch)

    def batches(self, epoch: int, first: int) -> Iterator[Batch[PairBatch]]:
        """Give this worker's share of each batch, augmented alike for any number of workers."""
        built = built_ahead(self._built(epoch, first), self.worker.device)
        for size, tensors in on_device(built, self.worker.device):
            yield Batch(size, PairBatch(*tensors))

    def backward(self, network: nn.Module, batch: Batch[PairBatch], precision: Precision) -> Tensor:
        """Add the gradients of the whole batch's loss, at once or in two passes over micro-batches."""
        inputs, piece = batch.inputs, self.settings.piece
        try:
            with self._checked_before():
                if piece:
                    return two_pass_backward(self.model, inputs, piece, autocast=precision.dtype)
                with precision.autocast():
                    loss: Tensor = network(*(tensor for tensor in inputs if tensor is not None))
                loss.backward()  # type: ignore[no-untyped-call]
                return loss.detach()
        except ValueError as error:
            # The model refuses tokens that are not finite; finite features then mean weights that are not.
            if "not finite" not in str(error) or not bool(torch.isfinite(inputs.features).all()):
                raise
            raise FloatingPointError(DIVERGED) from None

    def after_step(self) -> None:
        """Keep the logit scale within its bound."""
        self.model.clamp_logit_scale()

    def mean_loss(self, losses: Sequence[float], sizes: Sequence[int]) -> float:
        """Return the mean over batches: a contrastive loss is of a batch, not of its pairs."""
        return round(float(np.mean(losses)), 6)

    def validate(self, precision: Precision) -> Metrics:
        """Return R@1 of both directions on the validation split, in percent; float32 throughout."""
        if self.validation is None:
            return {}
        scores, metrics = score_on_workers(self.model, self.validation, self.worker), None
        if scores is not None:
            found = retrieval_metrics(scores, self.validation.text_of_video)
            metrics = {f"{way}_R@1": round(found[way]["R@1"], 2) for way in DIRECTIONS}
        return agree(metrics, self.worker) or {}

    def score(self, metrics: Metrics) -> float:
        """Return the sum of both directions' R@1."""
        return float(sum(metrics.values()))

    def compile(self, mode: CompileMode) -> None:
        """Compile both towers; all batches are then padded to the same lengths, one graph each."""
        self._windows = self.model.config.max_windows
        self.tokens.length = self.model.config.context_length
        for tower in (self.model.video, self.model.text):
            tower.encode = compiled(tower.encode, mode)  # type: ignore[method-assign]

    def _built(self, epoch: int, first: int) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
        """Sizes of the batches, and this worker's tensors on the CPU."""
        steps = self.sampler.steps(epoch)
        for number in range(first, steps):
            batch = self.sampler.batch(epoch, number).tolist()
            inputs = self._inputs(self.worker.share(batch), epoch)
            if number + 1 < steps:
                ahead = self.sampler.batch(epoch, number + 1).tolist()
                self.train.features.prefetch(self.worker.share(ahead))
            yield len(batch), inputs

    def _inputs(self, videos: list[int], epoch: int) -> tuple[Tensor, ...]:
        """Features and token ids of these videos, as a `PairBatch` has them."""
        settings = self.settings
        rngs = [np.random.default_rng([settings.seed, epoch, video]) for video in videos]
        features, valid = self.train.features.batch(videos, self._windows)
        for row, rng in enumerate(rngs):
            count = int(valid[row].sum())
            kept = rng.random(count) >= settings.drop_windows
            kept[rng.integers(count)] = True
            valid[row, :count] &= torch.from_numpy(kept)
            if settings.noise:
                own = features[row, :count]
                noise = torch.from_numpy(rng.standard_normal(own.shape, dtype=np.float32))
                features[row, :count] += settings.noise * own.std() * noise
        texts = [self.train.texts[int(self.train.text_of_video[video])] for video in videos]
        inputs = [features, valid, *self.tokens.batch(texts)]
        if settings.augment:
            changed = [
                augment_text(text, rng, settings.augment_kind, settings.augment)
                for text, rng in zip(texts, rngs, strict=True)
            ]
            inputs += self.tokens.batch(changed)
        return tuple(inputs)

    def _checked_before(self) -> AbstractContextManager[object]:
        """On a GPU, leave out the checks of values, each of which waits for the device.

        Stored features are finite and token ids are the tokenizer's; `Losses` finds a loss that is not.
        """
        return values_unchecked() if self.worker.device.type == "cuda" else nullcontext()


def _optimizer(
    model: RetrievalModel, settings: RetrievalSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    groups = parameter_groups(model, settings.lr, settings.weight_decay)
    if settings.optimizer == "published":
        return PublishedAdam(groups, settings.lr, total_steps=steps, warmup=settings.warmup), None
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)

    def factor(step: int) -> float:
        return warmup_cosine((step + 1) / (steps + 1), settings.warmup)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
