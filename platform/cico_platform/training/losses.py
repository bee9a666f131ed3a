"""Losses of an epoch's steps, read from the device now and then: to read one waits for the device."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

DIVERGED = "the loss is no longer a number; lower the learning rate"
# Steps whose losses are read together from a GPU; a CPU computes one step at a time anyway.
STEPS_PER_READING = 16


class Losses:
    """Losses and sizes of the batches of an epoch so far.

    Parameters
    ----------
    device
        That the losses are on.

    Examples
    --------
    >>> losses = Losses(torch.device("cpu"))
    >>> losses.add(torch.tensor(0.5), 8)
    >>> losses.last(), losses.read(), losses.sizes
    (0.5, [0.5], [8])
    """

    def __init__(self, device: torch.device) -> None:
        self._most = 1 if device.type == "cpu" else STEPS_PER_READING
        self._values: list[float] = []
        self._pending: list[Tensor] = []
        self.sizes: list[int] = []

    def add(self, loss: Tensor, size: int) -> None:
        """Add the loss of a batch; see `read` for errors."""
        self._pending.append(loss)
        self.sizes.append(size)
        if len(self._pending) >= self._most:
            self.read()

    def read(self) -> list[float]:
        """Return all losses.

        Raises
        ------
        FloatingPointError
            If one is no longer a number.
        """
        if self._pending:
            found = torch.stack(self._pending).tolist()
            self._pending.clear()
            if not all(map(math.isfinite, found)):
                raise FloatingPointError(DIVERGED)
            self._values += found
        return self._values

    def last(self) -> float:
        """Return the loss of the last batch; see `read` for errors."""
        return self.read()[-1]

    def restore(self, values: Sequence[float], sizes: Sequence[int]) -> None:
        """Go on after these batches."""
        self._values, self.sizes, self._pending = list(values), list(sizes), []
