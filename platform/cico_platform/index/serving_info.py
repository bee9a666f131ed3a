"""Which models a collection was built with, kept with the index, so that searching needs nothing else."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cico_model.calibration import Calibration
from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import IndexedClip
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.steps import write_json
from cico_platform.storage import absolute, on_this_machine

SERVING_FILE, MODELS = "serving.json", "models"
# On a server, one point a collection carries it; its vector means nothing.
SERVING_COLLECTION = "cico-serving"
DEFAULT_ALIAS = "clips"


@dataclass(frozen=True)
class ServingInfo:
    """What a collection was built with.

    Attributes
    ----------
    collection, dim
        Its name and the width of its tokens.
    model
        Folder of the retrieval model.
    encoders, alpha
        Folders of the sign encoders; with two, features are `alpha` first + (1 - `alpha`) second.
    corpus
        Name of what was indexed.
    model_name
        What people call the model.
    calibrations
        What scores of a search by `text` and by `video` mean; empty where no validation split said so.
    """

    collection: str
    dim: int
    model: str
    encoders: tuple[str, ...]
    alpha: float
    corpus: str
    model_name: str = ""
    calibrations: dict[str, Calibration] = field(default_factory=dict)


def write_serving(index: VectorIndex, info: ServingInfo) -> None:
    """Record a collection's models; the embedded index gets its own copy of them."""
    info = replace(info, model_name=info.model_name or Path(info.model).name)
    if not isinstance(index, EmbeddedIndex):
        paths = replace(
            info,
            model=absolute(info.model),
            encoders=tuple(absolute(encoder) for encoder in info.encoders),
        )
        index.create(SERVING_COLLECTION, 1)
        point = IndexedClip(info.collection, np.ones((1, 1), np.float32), {"serving": asdict(paths)})
        index.upsert(SERVING_COLLECTION, [point])
        return
    home = Path(MODELS) / info.collection
    encoders = [str(home / f"encoder-{number}") for number in range(len(info.encoders))]
    sources = [info.model, *info.encoders]
    for source, target in zip(sources, [str(home / "retrieval"), *encoders], strict=True):
        _copy_files(on_this_machine(source), index.path / target)
    kept = replace(info, model=str(home / "retrieval"), encoders=tuple(encoders))
    file = index.path / SERVING_FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"collections": {}}
    known["collections"][info.collection] = asdict(kept)
    write_json(file, known)


def read_serving(index: VectorIndex, collection: str) -> ServingInfo:
    """What a collection was built with; folders are absolute.

    Raises
    ------
    CicoError
        If the index doesn't know.
    """
    found = next(iter(_recorded(index, collection)), None)
    if found is None:
        raise CicoError(
            f"the index '{index.location}' doesn't say which models '{collection}' needs; index it again"
        )
    return _read(index, found)


def known_servings(index: VectorIndex) -> list[ServingInfo]:
    """What every collection was built with; some of them may be deleted since."""
    return [_read(index, found) for found in _recorded(index)]


def _recorded(index: VectorIndex, collection: str | None = None) -> list[dict[str, Any]]:
    """What is recorded of a collection, or of all."""
    if isinstance(index, EmbeddedIndex):
        file = index.path / SERVING_FILE
        known = json.loads(file.read_text(encoding="utf-8"))["collections"] if file.is_file() else {}
        return [value for name, value in known.items() if collection in (None, name)]
    points = index.fetch(SERVING_COLLECTION, None if collection is None else [collection])
    return [point.payload["serving"] for point in points]


def _read(index: VectorIndex, found: dict[str, Any]) -> ServingInfo:
    calibrations = {way: Calibration(**value) for way, value in found.get("calibrations", {}).items()}
    encoders = tuple(_texts(found["encoders"]))
    info = ServingInfo(**{**found, "encoders": encoders, "calibrations": calibrations})
    if not isinstance(index, EmbeddedIndex):
        return info
    home = index.path
    return replace(info, model=str(home / info.model), encoders=tuple(str(home / e) for e in info.encoders))


def live_serving(index: VectorIndex, alias: str = DEFAULT_ALIAS) -> ServingInfo:
    """What the live collection of an alias was built with.

    Raises
    ------
    CicoError
        If no collection is live.
    """
    collection = index.alias(alias)
    if collection is None:
        raise CicoError(f"nothing is live as '{alias}' in '{index.location}'; make it with 'cico index'")
    return read_serving(index, collection)


def _texts(value: object) -> Sequence[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def _copy_files(source: Path, target: Path) -> None:
    """The files of a checkpoint folder, without folders below it."""
    if source.resolve() == target.resolve():
        return
    if not source.is_dir():
        raise CicoError(f"'{source}' is not a checkpoint folder")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file():
            shutil.copy2(file, partial / file.name)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
