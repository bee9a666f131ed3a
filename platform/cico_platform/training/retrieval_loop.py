"""What each worker of the retrieval model's training does: its part of every batch, the loss of all."""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cico_model.accumulation import two_pass_backward
from cico_model.metrics import retrieval_metrics
from cico_model.model import PairBatch, RetrievalModel
from cico_model.optimizer import PublishedAdam, parameter_groups, warmup_cosine
from cico_model.text import augment_text
from cico_platform.training.checkpoints import State
from cico_platform.training.data.sampler import Sampler
from cico_platform.training.pairs import Pairs, opened, score_pairs
from cico_platform.training.session import Session, Worker, fetched, takes_bfloat16, wrap
from cico_platform.training.text_tokens import TextTokens

MAX_GRAD_NORM = 1.0
DIVERGED = "the loss is no longer a number; lower the learning rate"


def train_loop(config: dict[str, Any], session: Session) -> None:
    """Train on this worker; `config` is what `train_retrieval` gives."""
    training = Training(config, session)
    while training.epoch < training.settings.epochs:
        training.run_epoch()


class Training:
    """The model, its optimiser and where they are; all of it is in `state` and comes back from one."""

    def __init__(self, config: dict[str, Any], session: Session) -> None:
        self.settings, self.session, self.place = config["settings"], session, session.place
        self.train = opened(config["train"], session.note)
        is_judge = self.place.rank == 0 and config["validation"] is not None
        self.validation = opened(config["validation"], session.note) if is_judge else None
        weights = fetched(config["weights"])
        self.model = RetrievalModel(config["config"], config["tokenizer"])
        self.model.load_state_dict(weights)
        self.tokens = TextTokens(self.model)
        self.model.to(self.place.device)
        # Two passes average the workers' gradients themselves.
        self.wrapped = self.model if self.settings.piece else wrap(self.model, self.place)
        self.sampler = Sampler(self.train.text_of_video, self.settings.batch_size, self.settings.seed)
        self.steps = self.sampler.total_steps(self.settings.epochs)
        self.optimizer, self.schedule = _optimizer(self.model, self.settings, self.steps)
        self.bfloat16 = takes_bfloat16(self.settings.precision, self.place.device, on_cpu=False)
        self.epoch = self.batch = 0
        self.losses: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.best: State = {"best": {}, "best_epoch": 0, "best_metrics": {}}
        if session.restored is not None:
            self.restore(session.restored)
            session.restored = None  # as large as the model and its optimiser

    def state(self) -> State:
        """Everything that a later process needs to go on as if nothing had happened."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "losses": self.losses,
            "history": self.history,
            **self.best,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else {},
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])
        self.losses, self.history = list(state["losses"]), list(state["history"])
        self.best = {name: state[name] for name in self.best}

    def run_epoch(self) -> None:
        """Take the steps of an epoch that are left."""
        settings, epoch, steps = self.settings, self.epoch, self.sampler.steps(self.epoch)
        torch.manual_seed(settings.seed * 10007 + epoch * 101 + self.place.rank)
        if self.batch:
            self.session.resume_random()
        samples, seconds = 0, 0.0
        for number in range(self.batch, steps):
            began = time.perf_counter()
            self.wrapped.train()
            lr = self.current_lr()
            batch = self.sampler.batch(epoch, number).tolist()
            inputs = _inputs(self.tokens, self.train, batch, settings, epoch, self.place)
            if number + 1 < steps:
                ahead = self.sampler.batch(epoch, number + 1).tolist()
                self.train.features.prefetch(self.place.share(ahead))
            self.losses.append(self.step(inputs))
            samples, seconds = samples + len(batch), seconds + time.perf_counter() - began
            row = {
                "epoch": epoch + 1,
                "steps": self.steps,
                "loss": self.losses[-1],
                "lr": lr,
                "samples_per_second": round(samples / seconds, 2),
            }
            ended = number + 1 == steps
            if ended:
                row |= self.end_epoch()
            else:
                self.batch = number + 1
            last = self.epoch == settings.epochs
            self.session.after_step(row, self.state, end_of_epoch=ended, last=last)

    def step(self, inputs: tuple[Tensor, ...]) -> float:
        """One step of the optimiser; returns the loss.

        Raises
        ------
        FloatingPointError
            If the loss, or a weight, is no longer a number.
        """
        self.optimizer.zero_grad(set_to_none=True)
        try:
            loss = self.backward(inputs)
        except ValueError as error:
            # The model refuses tokens that are no numbers; sound features then mean weights that are not.
            if "not finite" not in str(error) or not bool(torch.isfinite(inputs[0]).all()):
                raise
            raise FloatingPointError(DIVERGED) from None
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
        self.optimizer.step()
        self.model.clamp_logit_scale()
        if self.schedule:
            self.schedule.step()
        value = float(loss)
        if not np.isfinite(value):
            raise FloatingPointError(DIVERGED)
        return value

    def backward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Gradients of the whole batch's loss, all at once or in two passes over pieces; returns the loss."""
        dtype = torch.bfloat16 if self.bfloat16 else None
        if self.settings.piece:
            return two_pass_backward(self.model, PairBatch(*inputs), self.settings.piece, autocast=dtype)
        with torch.autocast(self.place.device.type, dtype, enabled=dtype is not None):
            loss: Tensor = self.wrapped(*inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def current_lr(self) -> float:
        """Learning rate of the next step."""
        if isinstance(self.optimizer, PublishedAdam):
            return self.optimizer.current_lr(self.session.step)
        return float(self.optimizer.param_groups[0]["lr"])

    def end_epoch(self) -> dict[str, Any]:
        """Close the epoch: its mean loss, and the validation where it is due."""
        self.epoch, self.batch = self.epoch + 1, 0
        metrics: dict[str, Any] = {"loss": round(float(np.mean(self.losses)), 6)}
        self.losses = []
        if self.epoch == self.settings.epochs or self.epoch % self.settings.evaluate_every == 0:
            metrics |= self.select()
        self.history.append({"epoch": self.epoch, **metrics})
        return metrics

    def select(self) -> dict[str, Any]:
        """Keep the weights of now if they are the best so far on the validation split (first worker)."""
        if self.place.rank != 0:
            return {}
        weights = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        if self.validation is None:
            self.best = {"best": weights, "best_epoch": self.epoch, "best_metrics": {}}
            return {}
        found = retrieval_metrics(score_pairs(self.model, self.validation), self.validation.text_of_video)
        metrics = {f"{way}_R@1": round(found[way]["R@1"], 2) for way in ("t2v", "v2t")}
        if not self.best["best"] or sum(metrics.values()) >= sum(self.best["best_metrics"].values()):
            self.best = {"best": weights, "best_epoch": self.epoch, "best_metrics": metrics}
        return metrics


def _optimizer(model: RetrievalModel, settings: Any, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    groups = parameter_groups(model, settings.lr, settings.weight_decay)
    if settings.optimizer == "published":
        return PublishedAdam(groups, settings.lr, total_steps=steps, warmup=settings.warmup), None
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)

    def factor(step: int) -> float:
        return warmup_cosine((step + 1) / (steps + 1), settings.warmup)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _inputs(
    tokens: TextTokens, train: Pairs, batch: list[int], settings: Any, epoch: int, place: Worker
) -> tuple[Tensor, ...]:
    """This worker's part of a batch, augmented alike whatever the number of workers."""
    share = place.share(batch)
    rngs = [np.random.default_rng([settings.seed, epoch, video]) for video in share]
    features, valid = train.features.batch(share)
    for row, rng in enumerate(rngs):
        count = int(valid[row].sum())
        kept = rng.random(count) >= settings.drop_windows
        kept[rng.integers(count)] = True
        valid[row, :count] &= torch.from_numpy(kept)
        if settings.noise:
            own = features[row, :count]
            noise = torch.from_numpy(rng.standard_normal(own.shape, dtype=np.float32))
            features[row, :count] += settings.noise * own.std() * noise
    texts = [train.texts[int(train.text_of_video[video])] for video in share]
    inputs = [features, valid, *tokens.batch(texts)]
    if settings.augment:
        changed = [
            augment_text(text, rng, settings.augment_kind, settings.augment)
            for text, rng in zip(texts, rngs, strict=True)
        ]
        inputs += tokens.batch(changed)
    return tuple(tensor.to(place.device) for tensor in inputs)
