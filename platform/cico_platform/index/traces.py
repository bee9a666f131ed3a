"""Traces of clips in the files of an index: byte strings that only they have, and where these are found."""

import mmap
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cico_platform.index.clips import Hit, point_id, pool, unit_rows
from cico_platform.index.serving_info import MODELS

# So many clips' traces are looked for, spread over all that are forgotten.
CLIPS = 16
# A shorter name would be found by chance.
SHORTEST = 5
TEXT_FIELDS = ("path", "text", "text_original", "text_id", "clip_key")


@dataclass(frozen=True)
class Traces:
    """Byte strings, and of those that are text, what they say."""

    strings: frozenset[bytes]

    def without(self, hit: Hit) -> "Traces":
        """The traces that a clip that stays does not bear."""
        texts = [hit.video_id, *(str(value) for value in hit.payload.values() if isinstance(value, str))]
        held = "\0".join(texts).encode()
        common = {string for string in self.strings if string in held}
        return replace(self, strings=self.strings - common) if common else self


@dataclass(frozen=True)
class Found:
    """How many files were searched, their bytes, how many traces were found, and in which files."""

    files: int
    bytes: int
    found: int
    where: list[str]


def traces_of(hits: Sequence[Hit], signer: str | None) -> Traces:
    """What files hold of clips: names, ids and paths as text, the ids of points, the vectors as stored."""
    strings = {signer.encode()} if signer else set()
    for hit in hits[:: max(1, len(hits) // CLIPS)]:
        fields = [hit.payload.get(name) for name in TEXT_FIELDS]
        strings |= {str(value).encode() for value in (hit.video_id, *fields) if value}
        name = uuid.UUID(point_id(hit.video_id))
        strings |= {name.bytes, str(name).encode()}
        if hit.tokens is not None:
            token = np.asarray(hit.tokens[len(hit.tokens) // 2], dtype=np.float32)
            unit = unit_rows(token[None])[0]
            strings |= {token.astype(np.float16).tobytes(), unit.astype(np.float16).tobytes()}
            strings |= {unit.tobytes(), token.tobytes(), pool(hit.tokens).tobytes()}
    return Traces(frozenset(string for string in strings if len(string) >= SHORTEST))


def find_traces(folder: Path, traces: Traces) -> Found:
    """Search every file of an index but the copies of models: indexing does not change these.

    What a model has learned from a clip stays in its weights until it is trained without and indexed anew.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and MODELS not in path.relative_to(folder).parts
    ]
    found: set[bytes] = set()
    where: list[str] = []
    size = 0
    for path in files:
        size += path.stat().st_size
        if not path.stat().st_size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            here = {string for string in traces.strings if content.find(string) >= 0}
        if here:
            found |= here
            where.append(str(path.relative_to(folder)))
    return Found(len(files), size, len(found), where)
