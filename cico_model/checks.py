"""Checks of what people hand in: a wrong shape, a missing number or an empty row is named, not carried on."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_checks_values: ContextVar[bool] = ContextVar("checks_values", default=True)


@contextmanager
def values_unchecked() -> Iterator[None]:
    """Leave out the checks of values within this context; shapes are still checked.

    Each check of a tensor on a GPU waits for the device. It can be left out where the inputs were checked
    before, and a loss that is not a number is found otherwise.
    """
    token = _checks_values.set(False)
    try:
        yield
    finally:
        _checks_values.reset(token)


def checks_values() -> bool:
    """Whether values are checked here."""
    return _checks_values.get()


def check_tokens(name: str, tokens: Tensor, valid: Tensor) -> None:
    """Refuse tokens that can't be compared.

    Parameters
    ----------
    name
        What the tokens are, for the message.
    tokens
        Float [B, N, D].
    valid
        bool [B, N].

    Raises
    ------
    ValueError
        If the shapes don't fit, a row has no valid token, or a valid token is not finite; the message names
        the row.
    """
    if tokens.ndim != 3 or valid.shape != tokens.shape[:2]:
        raise ValueError(
            f"{name}: [B, N, D] needs a mask [B, N], not {tuple(tokens.shape)} with {tuple(valid.shape)}"
        )
    if not checks_values():
        return
    empty = ~valid.bool().any(dim=1)
    if empty.any():
        raise ValueError(f"{name}: row {int(empty.nonzero()[0])} has no valid token")
    # A sum is not finite if a term isn't, and costs no mask of the whole tensor.
    broken = ~torch.isfinite(tokens.detach().float().sum(dim=-1)) & valid.bool()
    if broken.any():
        row, position = (int(i) for i in broken.nonzero()[0])
        raise ValueError(f"{name}: row {row} holds a value that is not finite, at position {position}")
