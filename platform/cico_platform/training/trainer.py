"""The trainer of every task: steps, validation, checkpoints and resume, on any number of workers."""

import time
from contextlib import closing
from functools import partial
from typing import Any, Generic

import torch
from torch.nn.utils import clip_grad_norm_

from cico_model.optimizer import PublishedAdam
from cico_platform.training.checkpoints import State
from cico_platform.training.compilation import uncompiled
from cico_platform.training.losses import Losses
from cico_platform.training.precision import choose_precision
from cico_platform.training.selection import Selection
from cico_platform.training.session import Row, Session
from cico_platform.training.task import Batch, Inputs, Metrics, Task
from cico_platform.training.workers import wrap


class Trainer(Generic[Inputs]):
    """Trains a task on this worker; everything that a later process needs to go on is in `state`.

    Parameters
    ----------
    task
        What is trained.
    session
        Where the run resumes, whom it reports to, when checkpoints are written.
    """

    def __init__(self, task: Task[Inputs], session: Session) -> None:
        self.task, self.plan, self.session, self.worker = task, task.plan, session, session.worker
        plan, device = self.plan, self.worker.device
        self.precision = choose_precision(plan.precision, device, plan.bfloat16_on_cpu)
        self.is_compiled = plan.compile_mode != "off" and device.type == "cuda"
        if self.is_compiled:
            task.compile(plan.compile_mode)
        self.network = task.model if task.averages_gradients else wrap(task.model, self.worker)
        self.epoch = self.step_of_epoch = 0
        self.losses = Losses(device)
        self.history: list[Metrics] = []
        self.selection = Selection(task.keeps_best and self.worker.rank == 0)
        if session.restored is not None:
            self.restore(session.restored)
            session.restored = None  # as large as the model and its optimiser

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or the validation has not become better for long enough."""
        impatient = 0 < self.plan.patience <= self.selection.waited
        return self.epoch >= self.plan.epochs or impatient

    def run(self) -> None:
        """Train to the end.

        Raises
        ------
        FloatingPointError
            If the loss is no longer a number.
        """
        with closing(self.task):
            while not self.is_over:
                self._run_epoch()

    def state(self) -> State:
        """Return everything that a later process needs to go on as if nothing had happened."""
        schedule = self.task.schedule
        return {
            "epoch": self.epoch,
            "step_of_epoch": self.step_of_epoch,
            "losses": list(self.losses.read()),
            "sizes": list(self.losses.sizes),
            "history": self.history,
            "best": self.selection.state(),
            "model": self.task.model.state_dict(),
            "optimizer": self.task.optimizer.state_dict(),
            "schedule": schedule.state_dict() if schedule else {},
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self.task.model.load_state_dict(state["model"])
        self.task.optimizer.load_state_dict(state["optimizer"])
        if self.task.schedule:
            self.task.schedule.load_state_dict(state["schedule"])
        self.epoch, self.step_of_epoch = int(state["epoch"]), int(state["step_of_epoch"])
        self.losses.restore(state["losses"], state["sizes"])
        self.history = list(state["history"])
        self.selection.restore(state["best"])

    def _run_epoch(self) -> None:
        """Take the steps of an epoch that are left."""
        epoch, steps = self.epoch, self.task.steps(self.epoch)
        torch.manual_seed(self.task.seed(epoch))
        if self.step_of_epoch:
            self.session.resume_random()
        if self.step_of_epoch >= steps:
            # It goes on with fewer steps an epoch: more workers leave a small rest out, or samples are gone.
            self._count_step(epoch, {"lr": self._learning_rate()}, ended=True)
            return
        samples, seconds, began = 0, 0.0, time.perf_counter()
        for batch in self.task.batches(epoch, self.step_of_epoch):
            lr = self._learning_rate()
            self._take_step(batch)
            samples, seconds = samples + batch.size, seconds + time.perf_counter() - began
            figures = {"lr": lr, "samples_per_second": round(samples / seconds, 2)}
            self.step_of_epoch += 1
            self._count_step(epoch, figures, ended=self.step_of_epoch == steps)
            began = time.perf_counter()

    def _count_step(self, epoch: int, figures: dict[str, Any], ended: bool) -> None:
        """Close the epoch if it has ended, tell the step's figures, and write a checkpoint if it is time."""
        if ended:
            figures |= self._end_epoch(figures["lr"])
        self.session.after_step(
            partial(self._row, epoch, figures),
            self.state,
            end_of_epoch=ended,
            last=self.is_over,
        )

    def _take_step(self, batch: Batch[Inputs]) -> None:
        """Take one step of the optimiser."""
        task = self.task
        self.network.train()
        task.optimizer.zero_grad(set_to_none=True)
        if self.is_compiled:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        loss = task.backward(self.network, batch, self.precision)
        clip_grad_norm_(task.model.parameters(), self.plan.max_grad_norm)
        task.optimizer.step()
        task.after_step()
        if task.schedule:
            task.schedule.step()
        self.losses.add(loss, batch.size)

    def _learning_rate(self) -> float:
        """Learning rate of the next step."""
        optimizer = self.task.optimizer
        if isinstance(optimizer, PublishedAdam):
            return optimizer.current_lr(self.session.step)
        return float(optimizer.param_groups[0]["lr"])

    def _row(self, epoch: int, figures: dict[str, Any]) -> Row:
        """What people are told of a step; `figures` of an epoch's end hold its mean loss."""
        loss = figures["loss"] if "loss" in figures else self.losses.last()
        return {"epoch": epoch + 1, "steps": self.plan.total_steps, **figures, "loss": loss}

    def _end_epoch(self, lr: float) -> Metrics:
        """Close the epoch: its mean loss, and the validation where it is due."""
        self.epoch, self.step_of_epoch = self.epoch + 1, 0
        metrics: Metrics = {"loss": self.task.mean_loss(self.losses.read(), self.losses.sizes), "lr": lr}
        self.losses = Losses(self.worker.device)
        if self.epoch == self.plan.epochs or self.epoch % self.plan.validate_every == 0:
            metrics |= self._validate()
        self.history.append({"epoch": self.epoch, **metrics})
        return metrics

    def _validate(self) -> Metrics:
        """Judge the model; keep it if it is the best so far."""
        with uncompiled(self.is_compiled):
            found = self.task.validate(self.precision)
        score = self.task.score(found) if found else None
        self.selection.consider(self.task.model, self.epoch, found, score)
        if self.is_over and self.epoch < self.plan.epochs and self.worker.rank == 0:
            waited = self.selection.waited
            self.session.note(f"ended early: {waited} validations in a row were no better than the best one")
        return found
