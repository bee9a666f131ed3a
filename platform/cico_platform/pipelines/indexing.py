"""Indexing: embedded videos become points of the live collection, or of a new one beside it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

import pyarrow as pa

from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, open_index, previous_of
from cico_platform.index.forgetting import forgotten
from cico_platform.index.probes import Probe, ask, choose_texts, compare, from_records
from cico_platform.index.serving_info import (
    DEFAULT_ALIAS,
    ServingInfo,
    known_collections,
    live_serving,
    read_serving,
)
from cico_platform.index.token_storage import Quantization, TokenStorage
from cico_platform.index.writer import IndexWriter
from cico_platform.pipelines.calibrating import calibrate_collection
from cico_platform.pipelines.index_building import Filling, fill
from cico_platform.pipelines.index_source import Source, read_source
from cico_platform.pipelines.index_texts import write_texts
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary
from cico_platform.storage import Place, on_this_machine

STAGE = "index"
PROBES = 100


@dataclass(frozen=True)
class Check:
    """When a new collection may go live.

    Attributes
    ----------
    probes
        Texts of the old corpus that both collections are asked for.
    min_kept
        Share that the new one must find of what the old one found.
    force
        Go live all the same.
    """

    probes: int = PROBES
    min_kept: float = 0.9
    force: bool = False


def build_index(
    corpus: str | Place,
    features: str | Place,
    model: str | Place,
    index: str | Place,
    collection: str = DEFAULT_ALIAS,
    on_progress: OnProgress | None = None,
    *,
    storage: TokenStorage | None = None,
    even_forgotten: bool = False,
    workers: int = 0,
) -> Summary:
    """Embed a corpus' sentence clips and make them searchable.

    If the live collection was built with the same models, what changed is written into it: new and changed
    clips are embedded, those that have left the manifest are deleted, and the same inputs again do
    nothing. Else a new collection is filled beside the live one, and goes live once it is whole. A run that
    was cut goes on.

    Parameters
    ----------
    features
        Folder that `extract_features` wrote.
    model
        Retrieval model.
    index
        Folder of an embedded index, or URL of a Qdrant server.
    collection
        The name that people search under: an alias of the collection.
    storage
        How tokens are kept.
    even_forgotten
        Take clips too that the index was told to forget.
    workers
        How many processes embed and write, where clips are many; 0: one a GPU, or up to four a node.

    Returns
    -------
    Summary
        Clips indexed; skipped: indexed already, or forgotten; quarantined: without features. Details:
        `collection`, `index`, `forgotten`, and `calibrations` of a search by `text` and by `video`: empty
        where the validation split is too small or its scores tell nothing.

    Raises
    ------
    InputError
        If the inputs don't fit together.
    """
    began, source = time.monotonic(), read_source(corpus, features, model, collection, storage)
    with open_index(str(index)) as opened:
        source, gone = (source, 0) if even_forgotten else _without_forgotten(opened, source)
        live, known = opened.alias(collection), known_collections(opened)
        same = live is not None and live in known and _same_tokens(known[live], source.info)
        name = live if live is not None and same else _free_name(opened, source)
        source = replace(source, info=replace(source.info, collection=name))
        if not _is_there(opened, known, source):
            done, skipped = _build(opened, source, Filling(on_progress, workers))
        else:
            done, skipped = 0, opened.count(name)
        calibrations = _calibrations(opened, name)
    details = {"collection": name, "index": str(index), "forgotten": gone, "calibrations": calibrations}
    return _summary(began, done, skipped, source, details)


def reindex(
    corpus: str | Place,
    features: str | Place | None,
    model: str | Place,
    index: str | Place,
    collection: str = DEFAULT_ALIAS,
    check: Check | None = None,
    on_progress: OnProgress | None = None,
    quantization: str | None = None,
    merge: int | None = None,
    workers: int = 0,
) -> Summary:
    """Build a new collection beside the live one, compare them, and move the alias.

    Searches go on meanwhile. The collection that was live stays for `roll_back`; older ones are removed. A
    run that was cut goes on.

    Parameters
    ----------
    features
        Folder that `extract_features` wrote; None takes the one that the live collection was filled from.
    quantization, merge
        How tokens are kept (`TokenStorage`); None: as those of the live collection.
    workers
        As in `build_index`.

    Returns
    -------
    Summary
        As `build_index`; details: `collection`, `before`, `index`, and `probes` (`probes.Comparison`).

    Raises
    ------
    CicoError
        If the new collection does not find enough of what the old one finds; it is not live then.
    """
    began, check = time.monotonic(), check or Check()
    with open_index(str(index), must_exist=True) as opened:
        before = live_serving(opened, collection)
        if features is None and not before.features:
            raise InputError(f"'{before.collection}' doesn't say what it was filled from: give --features")
        kept = cast(Quantization, quantization or before.quantization)
        storage = TokenStorage(kept, merge or before.merge)
        source = read_source(corpus, features or before.features, model, collection, storage)
        source, gone = _without_forgotten(opened, source)
        if _same_content(before, source.info):
            same = before.collection
            return Summary(
                0,
                len(source) + gone,
                details={"collection": same, "before": same, "index": str(index), "forgotten": gone},
            )
        name = _free_name(opened, source)
        source = replace(source, info=replace(source.info, collection=name))
        how = Filling(on_progress, workers)
        done, skipped, compared = _build_beside(opened, source, before, check, how)
    details = {
        "collection": name,
        "before": before.collection,
        "index": str(index),
        "forgotten": gone,
        "probes": compared,
    }
    return _summary(began, done, skipped, source, details)


def _build(index: VectorIndex, source: Source, how: Filling) -> tuple[int, int]:
    """Fill a collection and make it live; returns how many clips were written and how many were there."""
    writer = IndexWriter(index, source.info, source.info.alias)
    done, skipped = fill(writer, source, how)
    writer.verify()
    writer.go_live(_described(index, source, PROBES))
    return done, skipped


def _build_beside(
    index: VectorIndex, source: Source, before: ServingInfo, check: Check, how: Filling
) -> tuple[int, int, dict[str, object]]:
    """`_build`, once the new collection is known to find what the old one finds."""
    writer = IndexWriter(index, source.info, source.info.alias)
    done, skipped = fill(writer, source, how)
    writer.verify()
    old = _answers(index, before, check.probes)
    model = load_retrieval_model(on_this_machine(source.info.model))
    texts = {probe.text: _known(source, probe.right) for probe in old}
    compared = compare(old, ask(index, source.info.collection, model, texts))
    if compared.kept is not None and compared.kept < check.min_kept and not check.force:
        raise CicoError(
            f"'{source.info.collection}' is whole, but finds {compared.kept:.0%} of what "
            f"'{before.collection}' finds ({compared.probes} texts), less than {check.min_kept:.0%}: the old "
            "one stays live; the same command with --force moves to the new one"
        )
    writer.go_live(_described(index, source, PROBES))
    return done, skipped, asdict(compared)


def _known(source: Source, video_ids: Sequence[str]) -> list[str]:
    """Those of these clips that the source has."""
    found = source.clips.positions(pa.array(list(video_ids), pa.string()))
    return [name for name, position in zip(video_ids, found, strict=True) if position >= 0]


def _is_there(index: VectorIndex, known: dict[str, ServingInfo], source: Source) -> bool:
    """Whether exactly this is live."""
    info = known.get(source.info.collection)
    live = index.alias(source.info.alias) == source.info.collection
    return live and info is not None and _same_content(info, source.info)


def _same_content(one: ServingInfo, other: ServingInfo) -> bool:
    return (one.layout, one.content) == (other.layout, other.content)


def _same_tokens(one: ServingInfo, other: ServingInfo) -> bool:
    return (one.layout, one.recipe) == (other.layout, other.recipe)


def _free_name(index: VectorIndex, source: Source) -> str:
    """The collection's name: one of its own, unless what is live or was before holds exactly the same."""
    known, base = known_collections(index), source.info.collection
    taken = {index.alias(source.info.alias), index.alias(previous_of(source.info.alias))}
    name, number = base, 1
    while name in taken and not _same_content(known[name], source.info):
        number += 1
        name = f"{base}.{number}"
    return name


def _answers(index: VectorIndex, info: ServingInfo, count: int) -> list[Probe]:
    """What a collection finds for some of its texts: as recorded, for a service may have it open."""
    if not count:
        return []
    if info.probes:
        return from_records(info.probes)[:count]
    model = load_retrieval_model(on_this_machine(info.model))
    return ask(index, info.collection, model, choose_texts(index, info.collection, count))


def _described(index: VectorIndex, source: Source, count: int) -> ServingInfo:
    """What the filled collection was built with, what it finds for some texts, and what its scores mean."""
    info = source.info
    model = load_retrieval_model(on_this_machine(info.model))
    texts = write_texts(index, info, model).texts
    answers = ask(index, info.collection, model, choose_texts(index, info.collection, count))
    calibrations = calibrate_collection(index, info.collection, model.config)
    probes = tuple(asdict(probe) for probe in answers)
    return replace(info, probes=probes, calibrations=calibrations, texts=texts)


def _calibrations(index: VectorIndex, collection: str) -> dict[str, dict[str, object]]:
    return {way: asdict(one) for way, one in read_serving(index, collection).calibrations.items()}


def _without_forgotten(index: VectorIndex, source: Source) -> tuple[Source, int]:
    """The source without what the index was told to forget, and how many clips these are."""
    is_forgotten = forgotten(index)
    gone = {name for name, people in source.people() if is_forgotten(name, people)}
    return (source.without(gone) if gone else source), len(gone)


def _summary(began: float, done: int, skipped: int, source: Source, details: Mapping[str, object]) -> Summary:
    lost, gone = len(source) - done - skipped, int(str(details["forgotten"]))
    return Summary(done, skipped + gone, lost, round(time.monotonic() - began, 3), dict(details))
