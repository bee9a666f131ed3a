"""Forgetting a signer or a video: collections that hold it are written anew without, the old ones removed."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, previous_of
from cico_platform.index.clips import Filters, Hit, IndexedClip
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.serving_info import (
    ServingInfo,
    known_collections,
    remove_collection,
    write_serving,
)
from cico_platform.index.texts import texts_of
from cico_platform.index.texts_rewrite import keys_said, rewrite_texts, some_texts
from cico_platform.index.traces import CLIPS, Traces, find_traces, traces_of
from cico_platform.index.writer import enough
from cico_platform.steps import write_json

FORGOTTEN_FILE, FORGOTTEN = "forgotten.json", "forgotten"
BATCH = 64


@dataclass(frozen=True)
class Proof:
    """What was forgotten, and that it is gone.

    Attributes
    ----------
    clips
        Distinct clips that were removed.
    rewritten
        Collections that were written anew, each with its successor.
    removed
        Collections that nothing named and that held some of them: removed whole.
    files, bytes
        How many files were searched afterwards: of an embedded index all but the copies of models; of
        one on a server the clips' tokens, for the server's own files can't be seen from here (it has removed
        the old collections).
    searched_for
        How many byte strings were looked for: names, ids, vectors.
    found_before, found_after
        How many of them were in the files before and after.
    """

    clips: int
    rewritten: dict[str, str]
    removed: list[str]
    files: int
    bytes: int
    searched_for: int
    found_before: int
    found_after: int


def forget(
    index: VectorIndex, *, signer: str | None = None, video_ids: Sequence[str] = (), grace: float = 0.0
) -> Proof:
    """Remove every trace of the clips that show a person, or of some clips, from all collections of an index.

    Clips that show the person beside their signer are removed, too.

    Only salted hashes of the names stay, so that the same manifest does not bring them back. A run that was
    cut is completed by the same call.

    Parameters
    ----------
    grace
        Seconds between the alias' move and the old collection's end, for services that still answer from it.

    Raises
    ------
    CicoError
        If another process has a collection open, or a trace is still found.
    """
    if signer is None and not video_ids:
        raise InputError("say whom or what to forget: --signer NAME or --video ID")
    known = known_collections(index)
    found = {clip for name in known for clip in _matching(index, name, signer, video_ids)}
    ids = sorted(found | set(video_ids))
    # A clip goes from every collection, also from one that was built before its people were known.
    held = {name: _matching(index, name, None, ids) for name in known} if ids else {}
    held = {name: clips for name, clips in held.items() if clips}
    remember(index, signer, ids)
    for name in known:  # also what was deleted from one earlier
        for each in (name, texts_of(name)):
            with suppress(InputError):
                index.erase_deleted(each)
    said = {name: keys_said(index, name, clips) for name, clips in held.items()}
    texts = [hit for name, keys in said.items() for hit in some_texts(index, name, keys)]
    traces = traces_of(_some(index, held), signer).plus(traces_of(texts, None))
    touched = {key for keys in said.values() for key in keys}
    named = _names(index, known.values())
    rest = [name for name in held if name not in named]
    for name in rest:
        remove_collection(index, name)
    rewritten = {}
    for name in held:
        if name in named:
            traces, rewritten[name] = _rewrite(index, known[name], set(ids), touched, traces)
    searched = [*known, *rewritten.values()]
    folders = index.folders([*searched, *map(texts_of, searched)])
    before = find_traces(folders, traces)
    for name, new in rewritten.items():
        for alias in named[name]:
            index.alias(alias, new, keep=False)
    if rewritten:
        time.sleep(grace)
    for name in rewritten:
        remove_collection(index, name)
    after = find_traces(folders, traces)
    if after.found:
        raise CicoError(f"traces are left in {', '.join(after.where)}; run the same command again")
    return Proof(
        len({clip for clips in held.values() for clip in clips}),
        rewritten,
        rest,
        after.files,
        after.bytes,
        len(traces.strings),
        before.found,
        after.found,
    )


def forgotten(index: VectorIndex) -> Callable[[str, Iterable[str]], bool]:
    """Whether a clip (its `video_id`, the people it shows) is one that the index was told to forget."""
    record = _record(index)
    salt, hashes = bytes.fromhex(record["salt"]), set(record["hashes"])

    def is_forgotten(video_id: str, people: Iterable[str]) -> bool:
        if not hashes:
            return False
        names = [("video", video_id), *(("signer", name) for name in people)]
        return any(_hash(salt, kind, name) in hashes for kind, name in names)

    return is_forgotten


def remember(index: VectorIndex, signer: str | None, video_ids: Iterable[str]) -> None:
    """Keep salted hashes of what is forgotten. Who has the index can test a guessed name against them."""
    record = _record(index)
    salt = bytes.fromhex(record["salt"])
    names = [("video", name) for name in video_ids] + ([("signer", signer)] if signer else [])
    hashes = sorted({*record["hashes"], *(_hash(salt, kind, name) for kind, name in names)})
    new = {"salt": salt.hex(), "hashes": hashes}
    if index.records is not None:
        index.records.write(FORGOTTEN, {FORGOTTEN: new})
        return
    assert isinstance(index, EmbeddedIndex)
    write_json(index.path / FORGOTTEN_FILE, new)


def _hash(salt: bytes, kind: str, name: str) -> str:
    return hashlib.blake2b(f"{kind}\0{name}".encode(), key=salt, digest_size=16).hexdigest()


def _record(index: VectorIndex) -> dict[str, Any]:
    found: dict[str, Any] | None
    if index.records is not None:
        found = index.records.read().get(FORGOTTEN, {}).get(FORGOTTEN)
    else:
        assert isinstance(index, EmbeddedIndex)
        file = index.path / FORGOTTEN_FILE
        found = json.loads(file.read_text()) if file.is_file() else None
    return found or {"salt": secrets.token_hex(32), "hashes": []}


def _matching(index: VectorIndex, collection: str, signer: str | None, video_ids: Sequence[str]) -> list[str]:
    """The names of the clips of a collection that show a person, or are among these: nothing else is kept."""
    asked: list[Filters] = []
    if signer is not None:
        asked = [Filters(signer=[signer]), Filters(participants=[signer])]
    try:
        found = (
            {hit.video_id for hit in index.fetch(collection, video_ids, fields=())} if video_ids else set()
        )
        for shows in asked:
            found.update(hit.video_id for hit in index.fetch(collection, filters=shows, fields=()))
    except InputError:  # registered, but its build was cut before it was there
        return []
    return sorted(found)


def _some(index: VectorIndex, held: Mapping[str, Sequence[str]]) -> list[Hit]:
    """As many clips of collections, with tokens, as are looked for in files; spread evenly over all."""
    named = [(collection, name) for collection, names in held.items() for name in names]
    chosen = named[:: max(1, len(named) // CLIPS)]
    return [
        hit
        for collection in held
        for hit in index.fetch(collection, [name for of, name in chosen if of == collection], tokens=True)
    ]


def _names(index: VectorIndex, known: Iterable[ServingInfo]) -> dict[str, list[str]]:
    """The collections that aliases name, each with these."""
    named: dict[str, list[str]] = {}
    for alias in {name for info in known for name in (info.alias, previous_of(info.alias))}:
        if collection := index.alias(alias):
            named.setdefault(collection, []).append(alias)
    return named


def _rewrite(
    index: VectorIndex, info: ServingInfo, gone: Set[str], touched: Set[str], traces: Traces
) -> tuple[Traces, str]:
    """Copy a collection without some clips; returns the traces that nothing else bears, and its name."""
    base, _, revision = info.collection.partition(".r")
    new = f"{base}.r{int(revision or 1) + 1}"
    remove_collection(index, new)  # a try that was cut
    probes = tuple(p for p in info.probes if gone.isdisjoint(p["right"]) and gone.isdisjoint(p["found"]))
    write_serving(index, replace(info, collection=new, content="", probes=probes))
    index.create(new, info.dim, info.quantization)
    waiting: list[IndexedClip] = []
    for hit in index.fetch(info.collection, tokens=True):
        if hit.video_id in gone:
            continue
        assert hit.tokens is not None
        payload = {name: value for name, value in hit.payload.items() if name != "video_id"}
        waiting.append(IndexedClip(hit.video_id, hit.tokens, payload))
        traces = traces.without(hit)
        if len(waiting) >= BATCH and enough(index, waiting):
            index.upsert(new, waiting)
            waiting = []
    if waiting:
        index.upsert(new, waiting)
    wanted = index.count(info.collection) - sum(
        1 for _ in index.fetch(info.collection, sorted(gone), fields=())
    )
    if index.count(new) != wanted:
        raise CicoError(f"'{new}' holds {index.count(new)} clips, not {wanted}; run the same command again")
    return rewrite_texts(index, info, new, touched, traces), new


def as_json(proof: Proof) -> dict[str, Any]:
    """The proof as the command line gives it."""
    return asdict(proof)
