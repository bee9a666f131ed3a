"""One vector a clip, by which the first stage finds candidates: a fixed-dimensional encoding of its tokens.

The mean of a clip's tokens loses too much: of the exact ten among 20,000 clips, the thousand nearest means
hold 0.94, the thousand nearest encodings 0.99 (docs/decisions/0010). Random planes part the space into
buckets; a query adds up its tokens bucket by bucket, a clip takes the mean of its own, and in a bucket where
it has none its token nearest to that bucket: so the product of the two approximates what each of the query's
tokens finds best in the clip (Dhulipala et al., MUVERA, NeurIPS 2024).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cico_model.ragged import unit_rows
from cico_platform.index.clips import Tokens

# Of a collection: one of another layout can't be searched. In layout 5, rows of a token store name points,
# and texts are a collection of their own (`texts`).
LAYOUT = 5
# Who wrote a collection of another layout, and what to do with it.
EARLIER = "an earlier version; run 'cico index migrate', or 'cico index' again"
SEED, REPETITIONS, PLANES, WIDTH = 0, 20, 3, 8
# How much an encoding's cosine counts beside a token's best match in the second stage.
ENCODING_SHARE = 2.0


class SetEncoder:
    """Encodes sets of tokens of one width, always in the same way.

    Parameters
    ----------
    dim
        D of the tokens.
    repetitions
        Drawings of planes; their buckets lie behind each other.
    planes
        Of each drawing: two to the power of them are the buckets.
    width
        Numbers a bucket, to which tokens are projected; at most D.
    """

    def __init__(
        self, dim: int, repetitions: int = REPETITIONS, planes: int = PLANES, width: int = WIDTH
    ) -> None:
        rng = np.random.default_rng(SEED)
        self.repetitions, self.buckets, self.width = repetitions, 1 << planes, min(width, dim)
        self._planes = rng.normal(size=(dim, repetitions * planes)).astype(np.float32)
        signs = rng.choice([-1.0, 1.0], size=(dim, repetitions * self.width))
        self._project = (signs / np.sqrt(self.width)).astype(np.float32)
        self._bits = 1 << np.arange(planes)
        codes = np.arange(self.buckets)
        self._apart = np.bitwise_count(codes[:, None] ^ codes).astype(np.int8)

    @property
    def size(self) -> int:
        """Numbers of an encoding."""
        return self.repetitions * self.buckets * self.width

    def query(self, tokens: Tokens) -> NDArray[np.float32]:
        """What is looked for, from tokens [Q, D]: sums, float32 [size] of length 1."""
        _, small, members = self._parted(tokens)
        return _unit(np.matmul(members, small))

    def clip(self, tokens: Tokens) -> NDArray[np.float32]:
        """What a clip is found by, from tokens [T, D]: means, float32 [size] of length 1."""
        codes, small, members = self._parted(tokens)
        counts = members.sum(axis=2)
        means = np.matmul(members, small) / np.maximum(counts, 1)[:, :, None]
        nearest = self._apart[:, codes].transpose(2, 0, 1).argmin(axis=2)
        empty = counts == 0
        means[empty] = small[np.nonzero(empty)[0], nearest[empty]]
        return _unit(means)

    def _parted(self, tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Bucket of each token [T, R], projected tokens [R, T, W], and who is in which bucket [R, B, T]."""
        unit = unit_rows(tokens)
        above = (unit @ self._planes).reshape(len(unit), self.repetitions, -1) > 0
        codes = above @ self._bits
        small = (unit @ self._project).reshape(len(unit), self.repetitions, self.width).transpose(1, 0, 2)
        members = (codes.T[:, None, :] == np.arange(self.buckets)[:, None]).astype(np.float32)
        return codes, small, members


@lru_cache
def set_encoder(dim: int) -> SetEncoder:
    """The encoder of an index whose tokens are of this width."""
    return SetEncoder(dim)


def point_vector(tokens: Tokens) -> NDArray[np.float32]:
    """What a clip is found by: `SetEncoder.clip` of its tokens [T, D].

    >>> clip = np.eye(3, dtype=np.float32)
    >>> bool(query_vector(clip[:1]) @ point_vector(clip) > query_vector(-clip[:1]) @ point_vector(clip))
    True
    """
    return set_encoder(tokens.shape[1]).clip(tokens)


def query_vector(tokens: Tokens) -> NDArray[np.float32]:
    """What is looked for: `SetEncoder.query` of its tokens [Q, D]; not to be written to."""
    whole = np.ascontiguousarray(tokens, dtype=np.float32)
    return _query_vector(whole.tobytes(), whole.shape[1])


@lru_cache(maxsize=16)
def _query_vector(tokens: bytes, dim: int) -> NDArray[np.float32]:
    """A search asks several times with the same tokens, here float32 of this width."""
    return set_encoder(dim).query(np.frombuffer(tokens, np.float32).reshape(-1, dim))


def encoding_weight(tokens: Tokens) -> float:
    """By what an encoding's cosine is multiplied before it is added to MaxSim, a sum over the tokens."""
    return ENCODING_SHARE * len(tokens)


def _unit(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(unit_rows(parts.reshape(1, -1))[0], dtype=np.float32)
