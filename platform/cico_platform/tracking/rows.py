"""Rows of a training's figures: their step, their names, and which of them are new."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
# Where a row is, which is no figure.
PLACES = ("step", "steps", "time")
VALIDATION_FIGURES = ("t2v_", "v2t_", "accuracy")


class OnceEach:
    """Figures of rows that are newer than what is kept, under the names that trackers show.

    Parameters
    ----------
    last
        The last step that is kept of each figure.

    Examples
    --------
    >>> once = OnceEach({"train/loss": 3})
    >>> once.new({"step": 3, "loss": 2.0, "lr": 0.1})
    {'train/lr': 0.1}
    >>> once.new({"step": 4, "loss": 1.5, "t2v_R@1": 50.0})
    {'train/loss': 1.5, 'validation/t2v_R1': 50.0}
    """

    def __init__(self, last: Mapping[str, int] | None = None) -> None:
        self._last = dict(last or {})

    def new(self, row: Row) -> dict[str, float]:
        """Figures of this row that are not kept yet; they count as kept from now on."""
        step = step_of(row)
        found = {name: value for name, value in figures(row).items() if self._last.get(name, -1) < step}
        self._last |= dict.fromkeys(found, step)
        return found


def step_of(row: Row) -> int:
    """A row's place in the training: its step, or its epoch where it has none."""
    return int(row["step"] if row.get("step") is not None else row["epoch"])


def figures(row: Row) -> dict[str, float]:
    """The figures of a row, under the names that trackers show; text and what is absent are left out.

    >>> figures({"step": 1, "epoch": 1, "time": 0.0, "loss": 2, "v2t_R@1": None})
    {'train/epoch': 1.0, 'train/loss': 2.0}
    """
    kept: dict[str, float] = {}
    for name, value in row.items():
        if name in PLACES or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        group = "validation" if name.startswith(VALIDATION_FIGURES) else "train"
        kept[f"{group}/{name.replace('@', '')}"] = float(value)
    return kept
