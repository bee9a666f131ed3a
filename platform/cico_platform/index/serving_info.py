"""Which models a collection was built with, kept with the index, so that searching needs nothing else."""

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cico_model.calibration import Calibration
from cico_model.model import RetrievalModel
from cico_platform.corpus.framing import FramingSettings
from cico_platform.encoding.clip_encoder import ClipEncoder, VideoEncoding, load_clip_encoder
from cico_platform.errors import CicoError
from cico_platform.index.base import VectorIndex
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.set_encoding import EARLIER, LAYOUT
from cico_platform.index.texts import texts_of
from cico_platform.index.token_storage import Quantization
from cico_platform.steps import write_json
from cico_platform.storage import absolute, on_this_machine

SERVING_FILE, MODELS = "serving.json", "models"
# What it is in the record of a collection.
SERVING = "serving"
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
    alias
        What it was built to be live as.
    recipe
        Names all but the clips that decides its points; collections of one recipe may share points.
    content
        Names its clips as well; empty while they are being written.
    features
        Folder of the features that it was filled from.
    quantization, merge
        How its tokens are kept (`token_storage.TokenStorage`).
    clips, texts
        How many it holds, once it is whole: reading it off an open collection is not for other processes.
    probes
        What it finds for some of its texts (`probes.Probe`, as JSON).
    model_name
        What people call the model.
    layout
        How its points are laid out (`set_encoding.LAYOUT`).
    calibrations
        What scores of a search by `text` and by `video` mean; empty where no validation split said so.
    encoding
        How its videos became features: those of queries become them alike.
    """

    collection: str
    dim: int
    model: str
    encoders: tuple[str, ...]
    alpha: float
    corpus: str
    alias: str = DEFAULT_ALIAS
    recipe: str = ""
    content: str = ""
    features: str = ""
    quantization: Quantization = "none"
    merge: int = 1
    clips: int = 0
    texts: int = 0
    probes: tuple[dict[str, Any], ...] = ()
    model_name: str = ""
    layout: int = LAYOUT
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    encoding: VideoEncoding = field(default_factory=VideoEncoding)


def write_serving(index: VectorIndex, info: ServingInfo) -> None:
    """Record a collection's models; the embedded index gets its own copy of them."""
    info = replace(info, model_name=info.model_name or Path(info.model).name)
    if index.records is not None:
        paths = replace(
            info,
            model=absolute(info.model),
            encoders=tuple(absolute(encoder) for encoder in info.encoders),
        )
        index.records.write(info.collection, {SERVING: asdict(paths)})
        return
    assert isinstance(index, EmbeddedIndex)
    home = Path(MODELS) / info.collection
    encoders = [str(home / f"encoder-{number}") for number in range(len(info.encoders))]
    sources = [info.model, *info.encoders]
    for source, target in zip(sources, [str(home / "retrieval"), *encoders], strict=True):
        _copy_files(on_this_machine(source), index.path / target)
    kept = replace(info, model=str(home / "retrieval"), encoders=tuple(encoders))
    _write_records(index, {**_records(index), info.collection: asdict(kept)})


def read_serving(index: VectorIndex, collection: str) -> ServingInfo:
    """What a collection was built with; folders are absolute.

    Raises
    ------
    CicoError
        If the index doesn't know.
    """
    found = known_collections(index).get(collection)
    if found is None:
        raise CicoError(
            f"the index '{index.location}' doesn't say which models '{collection}' needs; index it again"
        )
    return found


def known_collections(index: VectorIndex) -> dict[str, ServingInfo]:
    """All collections of an index, whole or being built, by name; folders are absolute."""
    found = {}
    for name, record in _records(index).items():
        encoders = tuple(str(encoder) for encoder in record["encoders"])
        # Records of earlier versions don't say the alias; collections are named after theirs.
        alias = record.get("alias") or name.rpartition("-")[0] or DEFAULT_ALIAS
        probes = tuple(record.get("probes", ()))
        calibrations = {way: Calibration(**value) for way, value in record.get("calibrations", {}).items()}
        layout = record.get("layout", 1)
        read = {
            "layout": layout,
            "encoders": encoders,
            "alias": alias,
            "probes": probes,
            "calibrations": calibrations,
            "encoding": _encoding(record.get("encoding", {})),
        }
        info = ServingInfo(**{**record, **read})
        if isinstance(index, EmbeddedIndex):
            home = index.path
            encoders = tuple(str(home / encoder) for encoder in encoders)
            info = replace(info, model=str(home / info.model), encoders=encoders)
        found[name] = info
    return found


def _encoding(record: dict[str, Any]) -> VideoEncoding:
    """How videos were encoded; records of earlier versions don't say it."""
    framing = FramingSettings(**record["framing"]) if "framing" in record else VideoEncoding().framing
    return VideoEncoding(**{**record, "framing": framing})


def clip_encoder_of(info: ServingInfo, model: RetrievalModel, threads: int | None = None) -> ClipEncoder:
    """The way from a video to a collection's tokens, loaded."""
    return load_clip_encoder(info.encoders, model, info.alpha, info.encoding, threads)


def remove_collection(index: VectorIndex, collection: str) -> None:
    """Remove a collection, its texts, its models and its record.

    Raises
    ------
    CicoError
        If another process has it open.
    """
    # First the clips, which those who answer from it hold: they keep their texts.
    index.delete(collection)
    index.delete(texts_of(collection))
    if index.records is not None:
        index.records.delete(collection)
        return
    assert isinstance(index, EmbeddedIndex)
    shutil.rmtree(index.path / MODELS / collection, ignore_errors=True)
    _write_records(index, {name: value for name, value in _records(index).items() if name != collection})


def _records(index: VectorIndex) -> dict[str, dict[str, Any]]:
    if index.records is not None:
        return {name: record[SERVING] for name, record in index.records.read().items() if SERVING in record}
    assert isinstance(index, EmbeddedIndex)
    file = index.path / SERVING_FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"collections": {}}
    return dict(known["collections"])


def _write_records(index: EmbeddedIndex, records: dict[str, dict[str, Any]]) -> None:
    file = index.path / SERVING_FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    write_json(file, {**known, "collections": records})


def live_serving(index: VectorIndex, alias: str = DEFAULT_ALIAS) -> ServingInfo:
    """What the live collection of an alias was built with.

    Raises
    ------
    CicoError
        If no collection is live, or it was built by an earlier version.
    """
    collection = index.alias(alias)
    if collection is None:
        raise CicoError(f"nothing is live as '{alias}' in '{index.location}'; make it with 'cico index'")
    info = read_serving(index, collection)
    if info.layout != LAYOUT:
        raise CicoError(f"'{collection}' was built by {EARLIER}")
    return info


def _copy_files(source: Path, target: Path) -> None:
    """The files of a checkpoint folder, without folders below it."""
    if source.resolve() == target.resolve():
        return
    if not source.is_dir():
        raise CicoError(f"'{source}' is not a checkpoint folder")
    if target.is_dir() and _same_files(source, target):
        return
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file():
            shutil.copy2(file, partial / file.name)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _same_files(source: Path, target: Path) -> bool:
    """Whether each file of a checkpoint folder has been copied, by its size and time."""

    def known(folder: Path) -> dict[str, tuple[int, float]]:
        files = [(file.name, file.stat()) for file in folder.iterdir() if file.is_file()]
        return {name: (stat.st_size, stat.st_mtime) for name, stat in files}

    return known(source) == known(target)
