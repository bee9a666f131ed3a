"""The second stage on tokens that are mapped from disk: MaxSim, and the products that the third needs too."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.ragged import unit_products
from cico_platform.index.clips import Tokens
from cico_platform.index.set_encoding import encoding_weight

Float = NDArray[np.float32]


class Compared(NamedTuple):
    """What a query's tokens [Q, D] and those of some clips have in common.

    Attributes
    ----------
    products
        float32 [Q, N], the clips' tokens behind each other.
    firsts, counts
        Integers [V]: where each clip's begin, and how many they are.
    """

    products: Float
    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def of(self, clip: int) -> Float:
        """A clip's products, [Q, T]: a view."""
        first = self.firsts[clip]
        return self.products[:, first : first + self.counts[clip]]

    def ordered(self, order: NDArray[np.int64]) -> "Compared":
        """Of these clips alone, in this order."""
        counts = self.counts[order]
        firsts = np.cumsum(counts) - counts
        chosen = torch.from_numpy(rows_of(self.firsts[order], counts))
        products = torch.index_select(torch.from_numpy(self.products), 1, chosen)  # four times NumPy's pace
        return Compared(products.numpy(), firsts, counts)


def rows_of(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the rows of runs that start here and are so long, run after run.

    >>> rows_of(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    firsts = np.cumsum(counts) - counts
    rows: NDArray[np.int64] = np.arange(int(counts.sum())) + np.repeat(starts - firsts, counts)
    return rows


def compare(rows: Tokens, lengths: NDArray[np.integer], tokens: Tokens) -> Compared:
    """The products of a query's tokens [Q, D] with those of clips [N, D] that lie behind each other."""
    counts = np.asarray(lengths, dtype=np.int64)
    return Compared(unit_products(rows, tokens), np.cumsum(counts) - counts, counts)


def second_scores(compared: Compared, tokens: Tokens, encoding: Float) -> Float:
    """MaxSim of each clip, the encodings' cosines [V] added: what the second stage ranks by."""
    best = np.maximum.reduceat(compared.products, compared.firsts, axis=1)
    return np.asarray(best.sum(axis=0) + np.float32(encoding_weight(tokens)) * encoding, dtype=np.float32)
