"""How an index keeps tokens: in half precision, by option quantised or merged."""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from cico_model.ragged import unit_rows
from cico_platform.errors import InputError
from cico_platform.index.clips import Tokens
from cico_platform.index.token_store.records import Storage

Quantization = Storage


@dataclass(frozen=True)
class TokenStorage:
    """What is kept of a clip's tokens.

    Attributes
    ----------
    quantization
        `none` keeps tokens in half precision, `scalar` a byte a number, `product` a byte for four numbers.
    merge
        So many neighbouring tokens become one, their mean direction.
    """

    quantization: Quantization = "none"
    merge: int = 1

    def __post_init__(self) -> None:
        if self.quantization not in get_args(Quantization):
            known = ", ".join(get_args(Quantization))
            raise InputError(f"tokens can't be quantised as '{self.quantization}'; known: {known}")
        if self.merge < 1:
            raise InputError(f"{self.merge} tokens can't be merged into one; 1 leaves them as they are")


def merge_tokens(tokens: Tokens, starts: list[int], factor: int) -> tuple[Tokens, list[int]]:
    """Neighbouring tokens as one: windows of a sign overlap and say nearly the same.

    Parameters
    ----------
    tokens
        float [T, D].
    starts
        First frame of each window.
    factor
        How many become one; the last one may be of fewer.

    Returns
    -------
    tuple
        Unit tokens float16 [ceil(T / factor), D], and the first frames of the middle windows.

    Examples
    --------
    >>> merge_tokens(np.eye(3, dtype=np.float32), [0, 4, 8], 2)[1]
    [4, 8]
    """
    if factor == 1:
        return tokens, starts
    unit = unit_rows(np.asarray(tokens, dtype=np.float32))
    groups = [slice(first, first + factor) for first in range(0, len(unit), factor)]
    merged = unit_rows(np.stack([unit[group].mean(axis=0) for group in groups]))
    middles = [starts[group][len(starts[group]) // 2] for group in groups]
    return merged.astype(np.float16), middles
