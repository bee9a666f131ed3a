"""Sign features as they are stored, and the alpha mix of two encoders' (method 4)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cico_model.sign_encoder import SignOutput

Features = NDArray[np.float16]


def stored_features(output: SignOutput, rows: Sequence[int] | None = None) -> Features:
    """Features of all windows, or of these, in the precision in which they are stored: float16 [W, F]."""
    values = output.embedding if rows is None else output.embedding[list(rows)]
    return np.asarray(values, dtype=np.float16)


def shares_of(encoders: int, alpha: float) -> tuple[float, ...]:
    """Each encoder's share of the mixed features: alpha is the first one's, where there are two.

    Examples
    --------
    >>> shares_of(1, 0.8), shares_of(2, 0.75)
    ((1.0,), (0.75, 0.25))
    """
    return (1.0,) if encoders == 1 else (alpha, 1.0 - alpha)


def mix_features(features: Sequence[Features], shares: Sequence[float]) -> Features:
    """Mix one video's stored features, one array [W, F] an encoder: float16 [W, F].

    Sums in float32 and rounds once, to the precision in which the models that read it were trained.
    """
    scaled = [share * values.astype(np.float32) for share, values in zip(shares, features, strict=True)]
    return np.asarray(sum(scaled[1:], start=scaled[0]), dtype=np.float16)


def mix_tensors(features: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Mix tensors as `mix_features` does, bit by bit, in a third of the time.

    A single tensor of share 1 is returned as it is.
    """
    if len(shares) == 1 and shares[0] == 1.0:
        return features[0]
    mixed = shares[0] * features[0].float()
    for share, values in zip(shares[1:], features[1:], strict=True):
        mixed += share * values.float()
    return mixed.half()
