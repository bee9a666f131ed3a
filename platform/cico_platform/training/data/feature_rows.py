"""Sign features by index, as trainings and evaluations read them: from a store on disk, or from memory."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_platform.encoding.video_tokens import pad_rows

Array = NDArray[np.float16]
Indices = Sequence[int] | NDArray[np.int32] | NDArray[np.int64]


class FeatureRows(Protocol):
    """Features of videos, numbered from 0."""

    def __len__(self) -> int:
        """Return the number of videos."""

    def __getitem__(self, index: int) -> Array:
        """Return a video's features, float16 [W, F]; not to be changed in place."""

    def windows(self, indices: Indices | None = None) -> NDArray[np.int64]:
        """Return the number of windows of these videos, or of all."""

    def batch(self, indices: Indices, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Return features padded with zeros, float32 [B, T, F], and valid, bool [B, T].

        T is `length`, or that of the longest of these videos. Both are new tensors.
        """

    def take(self, indices: Indices) -> "FeatureRows":
        """Return these videos, in this order."""

    def prefetch(self, indices: Indices) -> None:
        """Start to read what a later call will need; returns at once."""


class MemoryRows:
    """Features that are in memory, float16 [W, F] a video."""

    def __init__(self, values: Sequence[Array]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Array:
        return self.values[index]

    def windows(self, indices: Indices | None = None) -> NDArray[np.int64]:
        """Return the number of windows of these videos, or of all."""
        chosen = range(len(self)) if indices is None else indices
        return np.array([len(self.values[index]) for index in chosen], dtype=np.int64)

    def batch(self, indices: Indices, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Return features padded with zeros, float32 [B, T, F], and valid, bool [B, T]."""
        return pad_rows([self.values[index] for index in indices], length)

    def take(self, indices: Indices) -> "MemoryRows":
        """Return these videos, in this order."""
        return MemoryRows([self.values[index] for index in indices])

    def prefetch(self, indices: Indices) -> None:
        """Do nothing: all is in memory."""


def padded(count: int, length: int, dim: int) -> tuple[Tensor, Tensor]:
    """Return an empty batch: zeros, float32 [B, T, F], and nothing valid, bool [B, T]."""
    return torch.zeros(count, length, dim), torch.zeros(count, length, dtype=torch.bool)
