"""Traces of clips in the files of an index: byte strings that only they have, and where these are found."""

import os
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cico_model.ragged import unit_rows
from cico_platform.index.clips import Hit, point_id
from cico_platform.index.serving_info import MODELS
from cico_platform.index.set_encoding import point_vector
from cico_platform.storage import Place, files_under, fresh, is_remote, relative

# So many clips' traces are looked for, spread over all that are forgotten.
CLIPS = 16
# A shorter name would be found by chance.
SHORTEST = 5
BLOCK = 1 << 24
TEXT_FIELDS = ("path", "text", "text_original", "text_id", "text_key", "clip_key")


@dataclass(frozen=True)
class Traces:
    """Byte strings, and of those that are text, what they say."""

    strings: frozenset[bytes]

    def plus(self, other: "Traces") -> "Traces":
        """These and others."""
        return replace(self, strings=self.strings | other.strings)

    def minus(self, other: "Traces") -> "Traces":
        """These without others."""
        return replace(self, strings=self.strings - other.strings)

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
            # The last: of a text, those before only say how it begins, and others may begin alike.
            token = np.asarray(hit.tokens[-1], dtype=np.float32)
            unit = unit_rows(token[None])[0]
            strings |= {token.astype(np.float16).tobytes(), unit.astype(np.float16).tobytes()}
            strings |= {unit.tobytes(), token.tobytes()}
            strings.add(point_vector(hit.tokens).astype(np.float16).tobytes())
    return Traces(frozenset(string for string in strings if len(string) >= SHORTEST))


def find_traces(folders: Sequence[Place], traces: Traces) -> Found:
    """Search every file in folders of an index but the copies of models: indexing does not change these.

    A folder that is gone holds nothing.

    What a model has learned from a clip stays in its weights until it is trained without and indexed anew.
    """
    files = [
        (folder, path)
        for folder in folders
        for path in files_under(fresh(folder))
        if MODELS not in relative(path, folder).split("/")
    ]
    search, found, where, size = Search(traces.strings), set[bytes](), [], 0
    for folder, path in files:
        size += path.stat().st_size
        here = search.file(path)
        if here:
            found |= here
            where.append(f"{folder.name}/{relative(path, folder)}")
    return Found(len(files), size, len(found), where)


class Search:
    """Looks for many byte strings, none shorter than four bytes, in one pass over a file.

    Two tables of pairs of bytes say where one may begin; only there the strings are compared.
    """

    def __init__(self, strings: Collection[bytes]) -> None:
        self.by_start: dict[bytes, list[bytes]] = {}
        for string in strings:
            self.by_start.setdefault(string[:4], []).append(string)
        self.longest = max(map(len, strings), default=0)
        self.first, self.second = np.zeros(1 << 16, bool), np.zeros(1 << 16, bool)
        for start in self.by_start:
            pairs = np.frombuffer(start, "<u2")
            self.first[pairs[0]] = self.second[pairs[1]] = True

    def file(self, path: Place) -> set[bytes]:
        """Which of the strings a file holds; holes of a sparse file hold none."""
        found: set[bytes] = set()
        with path.open("rb") as file:
            size = path.stat().st_size
            stretches = [(0, size)] if is_remote(path) else _stretches(file.fileno(), size)
            for begin, end in stretches:
                for at in range(begin, end, BLOCK):
                    file.seek(at)
                    found |= self.block(file.read(min(BLOCK, end - at) + self.longest))
        return found

    def block(self, content: bytes) -> set[bytes]:
        """Which of the strings some bytes hold."""
        found: set[bytes] = set()
        for shift in (0, 1) if len(content) > SHORTEST else ():
            pairs = np.frombuffer(content, "<u2", max(0, len(content) - shift) // 2, shift)
            for place in np.flatnonzero(self.first[pairs[:-1]] & self.second[pairs[1:]]):
                at = 2 * int(place) + shift
                strings = self.by_start.get(content[at : at + 4], ())
                found |= {string for string in strings if content.startswith(string, at)}
        return found


def _stretches(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, begin, os.SEEK_HOLE)
        except OSError:  # only a hole is left
            return
        yield begin, end
