"""Verifying a store: every file is read and compared with its checksum, and the parts with each other."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cico_platform.errors import CicoError
from cico_platform.index.token_store.cache import SegmentCache
from cico_platform.index.token_store.codecs import Codec
from cico_platform.index.token_store.compaction import unused_files
from cico_platform.index.token_store.errors import ConflictError, DamagedFileError
from cico_platform.index.token_store.files import BLOCK, said_plainly
from cico_platform.index.token_store.gathering import open_segment, open_table
from cico_platform.index.token_store.manifests import read_manifest
from cico_platform.index.token_store.pool import OpenFiles
from cico_platform.index.token_store.records import SEGMENTS, SegmentInfo, StoredFile
from cico_platform.index.token_store.snapshots import Snapshot
from cico_platform.index.token_store.store import newest_snapshot
from cico_platform.index.token_store.store_codec import load_codec
from cico_platform.index.token_store.store_files import files_of
from cico_platform.storage import Place, place

# Shares of the hashes by which clips are compared with each other, one after the other.
PARTS = 16


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes
    ----------
    segments, rows, living, tokens
        How many; tokens of dead rows that are not erased included.
    files, bytes
        That were read.
    unused
        Files that are no part of the store: of a build that runs or was cut. `sweep` removes them.
    problems
        One sentence each; none if all is right.
    """

    segments: int
    rows: int
    living: int
    tokens: int
    files: int
    bytes: int
    unused: tuple[str, ...]
    problems: tuple[str, ...]

    def check(self) -> None:
        """Raise the problems, if there are any.

        Raises
        ------
        DamagedFileError
            With the first of them.
        """
        if self.problems:
            more = f" (and {len(self.problems) - 1} problems more)" if len(self.problems) > 1 else ""
            raise DamagedFileError(self.problems[0] + more)


def verify(folder: str | Place, cache: SegmentCache | str | Path | None = None) -> Verification:
    """Read all files of a store and compare them with their checksums, offsets, ids and dead rows.

    Of a store behind a URL, tokens are read there, and the other files through the cache.

    Raises
    ------
    InputError, DamagedFileError
        If there is no store, or its manifest or its dead rows cannot be used.
    ConflictError
        If another process removed files meanwhile.
    """
    there = place(folder)
    files = files_of(there, cache)
    snapshot = newest_snapshot(there, files)
    codec, opened = load_codec(there, snapshot.manifest.layout), OpenFiles(files)
    manifest, problems = snapshot.manifest, list[str]()
    try:
        for index, segment in enumerate(manifest.segments):
            problems += _content_problems(there, segment)
            if not problems:
                problems += _segment_problems(snapshot, index, opened, codec)
        problems += [] if problems else _twice(snapshot, opened)
    finally:
        opened.close()
        files.close()
    if problems and read_manifest(there).commit != manifest.commit:
        raise ConflictError(f"the token store '{there}' was changed while it was verified; verify it again")
    unused = [f"{below}/{name}".lstrip("/") for below, names in unused_files(there).items() for name in names]
    return Verification(
        segments=len(manifest.segments),
        rows=manifest.rows,
        living=manifest.living,
        tokens=sum(segment.tokens for segment in manifest.segments),
        files=3 * len(manifest.segments),
        bytes=sum(segment.bytes for segment in manifest.segments),
        unused=tuple(unused),
        problems=tuple(problems),
    )


def _content_problems(folder: Place, segment: SegmentInfo) -> list[str]:
    return [problem for file in segment.files if (problem := _problem(folder / SEGMENTS / file.name, file))]


def _problem(path: Place, file: StoredFile) -> str:
    digest, size = hashlib.sha256(), 0
    try:
        with said_plainly(path, "a segment cannot be read from"), path.open("rb") as content:
            while block := content.read(BLOCK):
                digest.update(block)
                size += len(block)
    except FileNotFoundError:
        return f"'{path}' is missing"
    except CicoError as error:
        return str(error)
    if size != file.bytes:
        return f"'{path}' is damaged: it has {size} bytes, and {file.bytes} were written"
    return (
        ""
        if digest.hexdigest() == file.sha256
        else f"'{path}' is damaged: its checksum is not that of what was written"
    )


def _segment_problems(snapshot: Snapshot, index: int, opened: OpenFiles, codec: Codec) -> list[str]:
    segment = snapshot.manifest.segments[index]
    living = snapshot.lives(snapshot.numbers(index))
    problems = []
    try:
        with open_segment(opened, codec, segment) as tokens:
            lengths = np.diff(tokens.offsets)
        with open_table(opened, segment) as table:
            rows, hashes = table.rows, table.hashes
            sorted_ = bool(np.all(hashes[1:] >= hashes[:-1]))
    except (DamagedFileError, FileNotFoundError) as error:
        return [str(error)]
    if not sorted_:
        problems.append(f"segment {segment.name}: its clips are not sorted by their hashes")
    if len(rows) and (rows.min() < 0 or rows.max() >= segment.rows or len(np.unique(rows)) != len(rows)):
        return [*problems, f"segment {segment.name}: its clips do not have rows of their own"]
    named = np.zeros(segment.rows, bool)
    named[rows] = True
    if np.any(named != (lengths > 0)):
        problems.append(f"segment {segment.name}: clips without tokens, or tokens without a clip")
    if np.any(living & ~named):
        problems.append(f"segment {segment.name}: {int((living & ~named).sum())} living rows were erased")
    return problems


def _twice(snapshot: Snapshot, opened: OpenFiles) -> list[str]:
    """Find clips that live in two rows, a share of the hashes at a time."""
    problems = []
    bounds = np.arange(1, PARTS, dtype=np.uint64) * np.uint64(2**64 // PARTS)
    for part in range(PARTS):
        found = []
        for index, segment in enumerate(snapshot.manifest.segments):
            with open_table(opened, segment) as table:
                first = 0 if part == 0 else int(np.searchsorted(table.hashes, bounds[part - 1]))
                last = len(table) if part == PARTS - 1 else int(np.searchsorted(table.hashes, bounds[part]))
                living = snapshot.lives(snapshot.numbers(index)[table.rows[first:last]])
                found.append(table.hashes[first:last][living])
        hashes = np.sort(np.concatenate(found)) if found else np.zeros(0, np.uint64)
        equal = int((hashes[1:] == hashes[:-1]).sum())
        if equal:
            problems.append(f"{equal} clips live in two rows; mark the earlier ones dead")
    return problems
