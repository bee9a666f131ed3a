"""Migration: collections that the version before wrote are copied into today's layout, clip by clip."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, previous_of
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import (
    ServingInfo,
    known_collections,
    remove_collection,
    write_serving,
)
from cico_platform.index.set_encoding import LAYOUT
from cico_platform.index.texts import with_text_key
from cico_platform.index.token_storage import Quantization
from cico_platform.index.writer import enough

# The layout of the version before.
BEFORE = 4
OnClips = Callable[[str, int], None]
# Builds the texts of a collection (`pipelines.index_texts.write_texts`); returns how many they are.
WriteTexts = Callable[[VectorIndex, ServingInfo], int]


@dataclass(frozen=True)
class Migrated:
    """What was copied.

    Attributes
    ----------
    collections
        Collections that aliases named, each with its copy.
    clips
        How many these hold together.
    removed
        Collections of an earlier version that nothing named.
    """

    collections: dict[str, str]
    clips: int
    removed: list[str]


def migrate(index: VectorIndex, write_texts: WriteTexts, on_clips: OnClips | None = None) -> Migrated:
    """Copy the collections of the version before, move the aliases to the copies, and remove the old ones.

    Tokens and payloads stay as they are, and payloads say in addition what the clip's text is found by: no
    video is read, but texts are encoded. A run that was cut begins its collection anew. Nothing is changed
    before all copies are whole.

    Parameters
    ----------
    write_texts
        Called for each copy once its clips are there.
    on_clips
        Called with a collection and how many of its clips are copied.

    Raises
    ------
    InputError
        If a live collection is of a version that is older still.
    CicoError
        If another process has a collection open, or a copy does not hold all clips.
    """
    known = {name: info for name, info in known_collections(index).items() if info.layout != LAYOUT}
    named = _named(index, known)
    for name in named:
        if known[name].layout != BEFORE:
            raise InputError(f"'{name}' was built by a version that is too old to be read; index it again")
    copies, clips = {}, 0
    for name in named:
        copies[name] = f"{name}.v{LAYOUT}"
        clips += _copy(index, known[name], copies[name], write_texts, on_clips)
    for name, aliases in named.items():
        for alias in aliases:
            index.alias(alias, copies[name], keep=False)
    for name in known:
        remove_collection(index, name)
    return Migrated(copies, clips, sorted(set(known) - set(named)))


def _copy(
    index: VectorIndex, info: ServingInfo, new: str, write_texts: WriteTexts, on_clips: OnClips | None
) -> int:
    """Copy one collection; returns how many clips it holds."""
    remove_collection(index, new)  # a try that was cut
    # What is kept no more: a bit a number.
    quantization = info.quantization if info.quantization in get_args(Quantization) else "none"
    copied = replace(info, collection=new, layout=LAYOUT, quantization=quantization)
    write_serving(index, replace(copied, content=""))
    index.create(new, info.dim, quantization)
    waiting: list[IndexedClip] = []
    count = 0
    for page in index.earlier(info.collection):
        waiting += [replace(clip, payload=with_text_key(clip.payload)) for clip in page]
        count += len(page)
        if enough(index, waiting):
            index.upsert(new, waiting)
            waiting = []
            if on_clips is not None:
                on_clips(info.collection, count)
    if waiting:
        index.upsert(new, waiting)
    if index.count(new) != count:
        raise CicoError(f"'{new}' holds {index.count(new)} clips, not {count}; run the same command again")
    write_serving(index, replace(copied, texts=write_texts(index, copied)))
    return count


def _named(index: VectorIndex, known: dict[str, ServingInfo]) -> dict[str, list[str]]:
    """Those of the collections that aliases name, each with these."""
    named: dict[str, list[str]] = {}
    for alias in sorted({name for info in known.values() for name in (info.alias, previous_of(info.alias))}):
        collection = index.alias(alias)
        if collection in known:
            named.setdefault(str(collection), []).append(alias)
    return named
