"""One vector a clip, by which the first stage finds candidates: the mean of its tokens.

How alike a text and a clip are is, roughly, the product of their mean tokens, not the cosine: the mean of a
clip whose windows agree is longer. An engine's graph wants cosines, so a clip's mean gets one more number
that makes its length 1; a query's is 0 there, and the cosine of the two is the product (the known way from
maximum inner product to nearest neighbours: Bachrach et al., RecSys 2014).
"""

import numpy as np
from numpy.typing import NDArray

from cico_model.ragged import unit_rows
from cico_platform.index.clips import Tokens

# Of points: vectors of another layout can't be searched with these.
LAYOUT = 2
# How much the product of the means counts beside a word's best sign (docs/benchmarks.md: `second stage`).
MEAN_SHARE = 2.0


def mean_token(tokens: Tokens) -> NDArray[np.float32]:
    """The mean of the unit tokens [T, D], float32 [D]; its length is at most 1."""
    return np.asarray(unit_rows(tokens).mean(axis=0), dtype=np.float32)


def point_vector(tokens: Tokens) -> NDArray[np.float32]:
    """What a clip is found by, float32 [D + 1], of length 1."""
    mean = mean_token(tokens)
    rest = np.sqrt(max(0.0, 1.0 - float(mean @ mean)))
    return np.append(mean, np.float32(rest))


def query_vector(tokens: Tokens) -> NDArray[np.float32]:
    """What is looked for, float32 [D + 1], of length 1.

    Its cosine with a clip's `point_vector` is the product of its mean's direction with the clip's mean.

    >>> clip = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> float(round(point_vector(clip) @ query_vector(clip), 4))  # the length of the clip's mean
    0.7071
    """
    return np.append(unit_rows(mean_token(tokens)[None])[0], np.float32(0))


def mean_weight(tokens: Tokens) -> float:
    """By what the cosine of `query_vector` is multiplied before it is added to MaxSim, a sum over tokens."""
    return MEAN_SHARE * float(np.linalg.norm(unit_rows(tokens).sum(axis=0)))
