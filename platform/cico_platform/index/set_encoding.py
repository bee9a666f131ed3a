"""One vector a clip, by which the first stage finds candidates: a fixed-dimensional encoding of its tokens.

Random planes part the space into buckets. Of a *sum*, a side adds up its tokens bucket by bucket; of a
*match*, it takes the mean of its tokens in each bucket, and in a bucket where it has none its token nearest
to that bucket. The product of a sum with a match approximates what each token of the one finds best in the
other (Dhulipala et al., MUVERA, NeurIPS 2024). The method's score has both directions, so an encoding has two
parts: the query's sum meets the clip's match (T2V), the query's match the clip's sum (V2T). How many
candidates are needed for which recall: docs/decisions/0022.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.ragged import unit_rows
from cico_platform.index.clips import Tokens

# Of a collection: one of another layout can't be searched. In layout 5, rows of a token store name points,
# texts are a collection of their own (`texts`), and encodings have two parts.
LAYOUT = 5
# Who wrote a collection of another layout, and what to do with it.
EARLIER = "an earlier version; run 'cico index migrate', or 'cico index' again"
SEED, REPETITIONS, PLANES, WIDTH = 0, 64, 2, 2
# How much an encoding's cosine counts beside a token's best match in the second stage.
ENCODING_SHARE = 2.0
# Clips that are encoded at once.
BLOCK = 128
NEVER = np.iinfo(np.int64).max

Float = NDArray[np.float32]
Integers = NDArray[np.int64]


class SetEncoder:
    """Encodes sets of tokens of one width, always in the same way.

    Parameters
    ----------
    dim
        D of the tokens.
    repetitions
        Drawings of planes for each of the two parts; their buckets lie behind each other.
    planes
        Of each drawing: two to the power of them are the buckets.
    width
        Numbers a bucket, to which tokens are projected; at most D. The projections of D / `width` drawings
        are orthogonal to each other: together they lose nothing.
    """

    def __init__(
        self, dim: int, repetitions: int = REPETITIONS, planes: int = PLANES, width: int = WIDTH
    ) -> None:
        rng = np.random.default_rng(SEED)
        sizes = (dim, repetitions, planes, min(width, dim))
        self.matched, self.summed = _Drawings(rng, *sizes), _Drawings(rng, *sizes)

    @property
    def size(self) -> int:
        """Numbers of an encoding."""
        return self.matched.size + self.summed.size

    def query(self, tokens: Tokens) -> Float:
        """What is looked for, from tokens [Q, D]: float32 [size] of length 1."""
        unit, lengths = unit_rows(tokens), np.array([len(tokens)])
        both = _joined(self.matched.sums(unit, lengths), self.summed.matches(unit, lengths))
        return np.asarray(both[0])

    def clip(self, tokens: Tokens) -> Float:
        """What a clip is found by, from tokens [T, D]: float32 [size] of length 1."""
        return np.asarray(self.clips(tokens, np.array([len(tokens)]))[0])

    def clips(self, rows: Tokens, lengths: NDArray[np.integer]) -> Float:
        """Encodings of several clips, float32 [V, size], each of length 1.

        Parameters
        ----------
        rows
            Float [N, D]: their tokens, clip after clip.
        lengths
            Integers [V], each at least 1: how many tokens each clip has.
        """
        found = np.empty((len(lengths), self.size), np.float32)
        ends = np.cumsum(lengths)
        for first in range(0, len(lengths), BLOCK):
            counts = np.asarray(lengths[first : first + BLOCK], np.int64)
            end = int(ends[first + len(counts) - 1])
            unit = unit_rows(rows[end - int(counts.sum()) : end])
            found[first : first + BLOCK] = _joined(
                self.matched.matches(unit, counts), self.summed.sums(unit, counts)
            )
        return found


class _Drawings:
    """Planes and projections of one part of an encoding."""

    def __init__(self, rng: np.random.Generator, dim: int, repetitions: int, planes: int, width: int) -> None:
        self.repetitions, self.buckets, self.width = repetitions, 1 << planes, width
        self.planes = rng.normal(size=(dim, repetitions * planes)).astype(np.float32)
        self.projections = _orthogonal(rng, dim, repetitions * width) * np.float32(np.sqrt(dim / width))
        self._both = torch.from_numpy(np.concatenate([self.planes, self.projections], axis=1))
        self._bits = 1 << np.arange(planes)
        codes = np.arange(self.buckets)
        # Buckets of other codes, nearest first, of equal ones the lowest.
        self._apart = np.bitwise_count(codes[:, None] ^ codes).astype(np.int64)

    @property
    def size(self) -> int:
        return self.repetitions * self.buckets * self.width

    def sums(self, unit: Float, lengths: Integers) -> Float:
        """Sums of unit tokens [N, D] by clip and bucket, divided by the clip's tokens: [V, size]."""
        small, keys = self._parted(unit, lengths)
        sums = self._sums(small, keys, len(lengths)).reshape(len(lengths), -1)
        return np.asarray(sums / lengths[:, None].astype(np.float32))

    def matches(self, unit: Float, lengths: Integers) -> Float:
        """Means of unit tokens [N, D] by clip and bucket; of none, the token nearest to it: [V, size]."""
        small, keys = self._parted(unit, lengths)
        count = len(lengths)
        held = np.bincount(keys.ravel(), minlength=count * self.repetitions * self.buckets)
        means = self._sums(small, keys, count) / np.maximum(held, 1)[:, None].astype(np.float32)
        # Of several assignments to one bucket the last one stays: that of the clip's first token in it.
        first_of = np.full(len(held), len(unit))
        first_of[keys[::-1].ravel()] = np.repeat(np.arange(len(unit))[::-1], self.repetitions)
        empty = np.flatnonzero(held == 0)
        drawings, buckets = np.divmod(empty, self.buckets)
        # First what is nearest to an empty bucket, then what comes first in the clip.
        order = first_of.reshape(-1, self.buckets)[drawings]
        order = np.where(order == len(unit), NEVER, order + self._apart[buckets] * len(unit))
        nearest = order.argmin(axis=1)
        tokens = first_of[drawings * self.buckets + nearest]
        means[empty] = small[tokens, drawings % self.repetitions]
        return np.asarray(means.reshape(count, -1))

    def _parted(self, unit: Float, lengths: Integers) -> tuple[Float, Integers]:
        """Projected tokens [N, R, W], and each one's number of clip, drawing and bucket [N, R]."""
        # By torch: NumPy's threads beside torch's would wait for each other's cores.
        both = (torch.from_numpy(unit) @ self._both).numpy()
        above, small = np.split(both, [self.planes.shape[1]], axis=1)
        above = above.reshape(len(unit), self.repetitions, -1) > 0
        small = np.ascontiguousarray(small).reshape(len(unit), self.repetitions, self.width)
        clips = np.repeat(np.arange(len(lengths)), lengths)
        drawings = clips[:, None] * self.repetitions + np.arange(self.repetitions)
        return small, drawings * self.buckets + above @ self._bits

    def _sums(self, small: Float, keys: Integers, count: int) -> Float:
        """Sums of projected tokens by clip, drawing and bucket: [V R B, W]."""
        found = torch.zeros(count * self.repetitions * self.buckets, self.width)
        found.index_add_(0, torch.from_numpy(keys.ravel()), torch.from_numpy(small).view(-1, self.width))
        sums: Float = found.numpy()
        return sums


@lru_cache
def set_encoder(dim: int) -> SetEncoder:
    """The encoder of an index whose tokens are of this width."""
    return SetEncoder(dim)


def point_vector(tokens: Tokens) -> Float:
    """What a clip is found by: `SetEncoder.clip` of its tokens [T, D].

    >>> clip = np.eye(3, dtype=np.float32)
    >>> bool(query_vector(clip[:1]) @ point_vector(clip) > query_vector(-clip[:1]) @ point_vector(clip))
    True
    """
    return set_encoder(tokens.shape[1]).clip(tokens)


def point_vectors(clips: Sequence[Tokens]) -> Float:
    """`point_vector` of several clips, [V, size]."""
    if not clips:
        return np.empty((0, 0), np.float32)
    lengths = np.array([len(tokens) for tokens in clips])
    return set_encoder(clips[0].shape[1]).clips(np.concatenate(clips), lengths)


def query_vector(tokens: Tokens) -> Float:
    """What is looked for: `SetEncoder.query` of its tokens [Q, D]."""
    return set_encoder(tokens.shape[1]).query(tokens)


def encoding_weight(tokens: Tokens) -> float:
    """By what an encoding's cosine is multiplied before it is added to MaxSim, a sum over the tokens."""
    return ENCODING_SHARE * len(tokens)


def _joined(first: Float, second: Float) -> Float:
    return unit_rows(np.concatenate([first, second], axis=1))


def _orthogonal(rng: np.random.Generator, dim: int, count: int) -> Float:
    """Columns [D, count], drawn in turns of D that are orthogonal to each other and of length 1."""
    columns: list[NDArray[np.float64]] = []
    for _ in range(-(-count // dim)):
        turned, upper = np.linalg.qr(rng.normal(size=(dim, dim)))
        columns.append(turned * np.sign(np.diag(upper)))  # the one that every library finds
    return np.concatenate(columns, axis=1)[:, :count].astype(np.float32)
