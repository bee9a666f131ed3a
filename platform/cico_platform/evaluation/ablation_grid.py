"""Grids of an ablation: variants of the full method, from a YAML file or those of the paper."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from cico_platform.config_files import ConfigFile, put
from cico_platform.errors import InputError
from cico_platform.settings import Settings, validated
from cico_platform.steps import content_key
from cico_platform.training.retrieval import RetrievalSettings

MOST_VARIANTS = 500
PARTS, ONE_CHANGE, CROSSED = "Parts of the method", "One change to the full method", "Grid"


class Part(Settings):
    """One row: its title, and the settings (`a.b` for a nested one) in which it differs."""

    title: str = Field(min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)


class Grid(Settings):
    """The variants of an ablation; every one starts from the settings of the full method.

    Attributes
    ----------
    parts
        Rows of their own, such as the method built up part by part.
    vary
        Values of a setting, which is changed alone.
    cross
        Values of settings, each with each of the others.
    """

    parts: tuple[Part, ...] = ()
    vary: dict[str, list[Any]] = Field(default_factory=dict)
    cross: dict[str, list[Any]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """A row of the table. Rows of equal settings share their trainings: those are named by `key`."""

    section: str
    title: str
    settings: RetrievalSettings
    key: str


def default_grid(encoders: int = 2, stride: int = 1) -> Grid:
    """The paper's kind: the method built up part by part, then one change at a time to the whole of it.

    With features of one encoder there is no mixture: rows that change alpha are left out. So are rows of
    strides below that of the features.
    """
    mean = {"pooling": "mean", "augment": 0.0}
    parts = [
        Part(title="Base: mean vectors, first encoder's features", set={**mean, "alpha": 1.0}),
        Part(title="+ domain-aware features", set=mean),
        Part(title="+ cross-lingual contrastive learning", set={"augment": 0.0}),
        Part(title="+ text augmentation (full method)", set={}),
    ]
    vary: dict[str, list[Any]] = {
        "pooling": ["fine", "class", "mean"],
        "alpha": [0.0, 0.2, 0.5, 0.8, 1.0],
        "stride": [value for value in (1, 2, 4) if value >= stride],
        "temperature": [0.03, 0.07, 0.2],
        "design": ["balance", "depart"],
        "augment_kind": ["swap", "deletion"],
    }
    if encoders == 1:
        parts = [Part(title="Base: mean vectors", set=mean), *parts[2:]]
        del vary["alpha"]
    return Grid(parts=tuple(parts), vary=vary)


def read_grid(file: ConfigFile) -> Grid:
    """The grid of a YAML file.

    Raises
    ------
    InputError
        If it has other names, or no variant at all.
    """
    grid = validated(Grid, file.values, {name: file.origin(name) for name in file.lines})
    if not (grid.parts or grid.vary or grid.cross):
        raise InputError(f"'{file.path}' names no variant: give it parts, vary or cross")
    return grid


def variants(grid: Grid, full: RetrievalSettings, inputs: Mapping[str, str], alpha: float) -> list[Variant]:
    """The rows of a grid, in its order.

    Parameters
    ----------
    full
        Settings of the full method.
    inputs
        Names of what all variants are trained on; they go into the keys.
    alpha
        What `full.alpha` means where it is None.

    Raises
    ------
    InputError
        If a setting is unknown or its value out of range: the row is named; or if there are too many.
    """
    rows = [(PARTS, part.title, part.set) for part in grid.parts]
    rows += [
        (ONE_CHANGE, _title({name: value}), {name: value})
        for name, values in grid.vary.items()
        for value in values
    ]
    if grid.cross:
        size = 1
        for values in grid.cross.values():
            size *= len(values)
        if size + len(rows) > MOST_VARIANTS:
            raise InputError(f"the grid has {size + len(rows)} variants; at most {MOST_VARIANTS} are trained")
        for combination in itertools.product(*grid.cross.values()):
            changes = dict(zip(grid.cross, combination, strict=True))
            rows.append((CROSSED, _title(changes), changes))
    return [_variant(section, title, changes, full, inputs, alpha) for section, title, changes in rows]


def _variant(
    section: str,
    title: str,
    changes: Mapping[str, Any],
    full: RetrievalSettings,
    inputs: Mapping[str, str],
    alpha: float,
) -> Variant:
    values = full.model_dump()
    for name, value in changes.items():
        put(values, name, value)
    settings = validated(RetrievalSettings, values, dict.fromkeys(changes, f"row '{title}'"))
    if settings.alpha is None:
        settings = settings.model_copy(update={"alpha": alpha})
    decisive = settings.decisive()
    decisive.pop("seed")
    return Variant(section, title, settings, content_key(**inputs, settings=decisive))


def _title(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in changes.items())
