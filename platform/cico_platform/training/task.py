"""What a task gives to the trainer: its model, its data, its loss, its validation and what is kept of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cico_platform.training.compilation import CompileMode
from cico_platform.training.precision import Precision, PrecisionName

Inputs = TypeVar("Inputs")
Metrics = dict[str, Any]


class Batch(NamedTuple, Generic[Inputs]):
    """This worker's share of a global batch, and the size of that batch."""

    size: int
    inputs: Inputs


@dataclass(frozen=True)
class Plan:
    """How a task is trained and judged.

    Attributes
    ----------
    epochs, total_steps
        Passes over the data, and steps of the optimiser in all of them.
    max_grad_norm
        Gradients are clipped to this norm.
    validate_every
        Epochs between validations; the last epoch is always validated.
    patience
        Validations in a row without a better score after which the training ends early; 0 never.
    precision, bfloat16_on_cpu
        See `choose_precision`.
    compile_mode
        See `RunSettings.compile`.
    """

    epochs: int
    total_steps: int
    max_grad_norm: float
    validate_every: int = 1
    patience: int = 0
    precision: PrecisionName = "auto"
    bfloat16_on_cpu: bool = False
    compile_mode: CompileMode = "off"


class Task(ABC, Generic[Inputs]):
    """What is trained.

    Attributes
    ----------
    model
        On the worker's device; checkpoints hold its state.
    optimizer, schedule
        Of the model; without a schedule, the optimiser has its own.
    plan
        How long it is trained, and how.
    keeps_best
        Whether the weights of the best validation are the result, or those of the last step.
    averages_gradients
        Whether `backward` averages the gradients over the workers itself; else DistributedDataParallel does.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None
    plan: Plan
    keeps_best: bool = False
    averages_gradients: bool = False

    @abstractmethod
    def seed(self, epoch: int) -> int:
        """Return the seed of PyTorch's random numbers for an epoch of this worker."""

    @abstractmethod
    def steps(self, epoch: int) -> int:
        """Return the number of steps of an epoch."""

    @abstractmethod
    def batches(self, epoch: int, first: int) -> Iterator[Batch[Inputs]]:
        """Give this worker's shares of the epoch's batches from step `first` on, on the device.

        They depend on the seed, the epoch and the step alone: the global batches are the same for any number
        of workers and after any resume.
        """

    @abstractmethod
    def backward(self, network: nn.Module, batch: Batch[Inputs], precision: Precision) -> Tensor:
        """Add the gradients of a global batch, in as many micro-batches as it needs.

        Parameters
        ----------
        network
            The model, or its DistributedDataParallel wrapper; in training mode.

        Returns
        -------
        Tensor
            Loss of the global batch, detached, the same on every worker.

        Raises
        ------
        FloatingPointError
            If the model has diverged.
        """

    def after_step(self) -> None:
        """Correct the weights after a step of the optimiser."""

    @abstractmethod
    def mean_loss(self, losses: Sequence[float], sizes: Sequence[int]) -> float:
        """Return the loss of an epoch from those of its batches, rounded for people."""

    @abstractmethod
    def validate(self, precision: Precision) -> Metrics:
        """Judge the model on held-out data; all workers call it, each takes a share, all get the same result.

        Empty where there is no such data.
        """

    @abstractmethod
    def score(self, metrics: Metrics) -> float:
        """Return one number for a validation's result, the higher the better."""

    def compile(self, mode: CompileMode) -> None:
        """Compile what the steps spend their time in."""

    def close(self) -> None:
        """Stop threads, remove temporary files."""
