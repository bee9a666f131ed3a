"""Compaction: dead rows are erased from the files, small segments are joined, what is unused is removed.

Row numbers stay: an erased row keeps 8 bytes in the offset table, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cico_platform.index.token_store.cache import SegmentCache
from cico_platform.index.token_store.changes import commit_change
from cico_platform.index.token_store.errors import ConflictError, DamagedFileError
from cico_platform.index.token_store.files import listed, remove_file, said_plainly
from cico_platform.index.token_store.manifests import PATTERN, commit, manifest_path, read_manifest
from cico_platform.index.token_store.pool import OpenFiles
from cico_platform.index.token_store.records import SEGMENTS, Manifest, SegmentInfo
from cico_platform.index.token_store.rewriting import rewrite
from cico_platform.index.token_store.row_numbers import MAX_ROWS
from cico_platform.index.token_store.snapshots import Snapshot
from cico_platform.index.token_store.store import newest_snapshot
from cico_platform.index.token_store.store_codec import load_codec
from cico_platform.index.token_store.store_files import files_of
from cico_platform.index.token_store.tombstones import read_dead, without_unknown
from cico_platform.storage import Place, file_sizes, place

SMALL_BYTES, TARGET_BYTES = 64 << 20, 128 << 20


@dataclass(frozen=True)
class Compacted:
    """What a compaction did.

    Attributes
    ----------
    before, after
        Segments that were written anew, and what became of them.
    erased
        Rows whose tokens and ids are gone.
    removed_files, removed_bytes
        Of segments that are not part of the store any more.
    """

    before: int = 0
    after: int = 0
    erased: int = 0
    removed_files: int = 0
    removed_bytes: int = 0


def compact(
    folder: str | Place,
    *,
    dead_share: float = 0.0,
    small_bytes: int = SMALL_BYTES,
    target_bytes: int = TARGET_BYTES,
    cache: SegmentCache | str | Path | None = None,
) -> Compacted:
    """Erase dead rows from the files of a store, and join small segments.

    When it returns, tokens and ids of the rows that were dead when it began are in no file of the store.
    Readers go on, and row numbers stay. A run that was cut is completed by the same call. Each group of
    segments is one commit: the disk holds one group twice.

    Parameters
    ----------
    dead_share
        Segments are written anew if more than this share of their clips is dead: 0 erases all dead rows.
    small_bytes, target_bytes
        Segments of fewer bytes are joined to about so many; `small_bytes=0` joins none.
    cache
        As in `TokenStore.open`.

    Raises
    ------
    ConflictError
        If another compaction runs.
    """
    there = place(folder)
    files = files_of(there, cache)
    removed = [_remove_garbage(there)]
    snapshot = newest_snapshot(there, files)
    codec, opened = load_codec(there, snapshot.manifest.layout), OpenFiles(files)
    segments, groups = snapshot.manifest.segments, plan(snapshot, dead_share, small_bytes, target_bytes)
    written: list[SegmentInfo] = []
    try:
        for group in groups:
            after = rewrite(there, snapshot, group, opened, codec)
            opened.close()
            _replace(there, [segments[index] for index in group], after)
            removed.append(_remove_garbage(there))
            written += [after] if after else []
    except FileNotFoundError as error:
        if read_manifest(there).generation == snapshot.manifest.generation:
            raise DamagedFileError(f"a file of the token store is missing: {error}") from error
        raise ConflictError(f"another process compacts the token store '{there}'") from error
    finally:
        opened.close()
    files.keep_only(set(read_manifest(there).names()))
    files.close()
    before = [segments[index] for group in groups for index in group]
    erased = sum(each.clips for each in before) - sum(each.clips for each in written)
    return Compacted(len(before), len(written), erased, *np.sum(removed, axis=0).tolist())


def plan(
    snapshot: Snapshot,
    dead_share: float = 0.0,
    small_bytes: int = SMALL_BYTES,
    target_bytes: int = TARGET_BYTES,
) -> list[list[int]]:
    """Return groups of segments, by their indices, that are to become one segment each."""
    segments, wanted = snapshot.manifest.segments, _with_dead(snapshot, dead_share)
    groups = [[index] for index in sorted(wanted) if segments[index].bytes >= small_bytes]
    waiting: list[int] = []
    for index, segment in enumerate(segments):
        if segment.bytes >= small_bytes:
            continue
        size = segment.bytes + sum(segments[each].bytes for each in waiting)
        rows = segment.rows + sum(segments[each].rows for each in waiting)
        if waiting and (size > target_bytes or rows > MAX_ROWS):
            groups.append(waiting)
            waiting = []
        waiting.append(index)
    groups += [waiting] if waiting else []
    # One small segment is not written anew for its size alone.
    return [group for group in groups if len(group) > 1 or group[0] in wanted]


def sweep(folder: str | Place) -> tuple[int, int]:
    """Remove all files that no generation needs, of builds and changes that were cut.

    Returns how many, and their bytes.

    Must not run while workers write segments or others change the store: theirs would be removed.
    """
    there = place(folder)
    with said_plainly(there, "a token store cannot be written to"):
        count, size = 0, 0
        for below, names in unused_files(there).items():
            sizes = file_sizes(there / below if below else there)
            for name in names:
                remove_file((there / below if below else there) / name)
                count, size = count + 1, size + sizes.get(name, 0)
        return count, size


def unused_files(folder: Place) -> dict[str, list[str]]:
    """Return the names of files of a store that its newest generation does not need, by folder."""
    manifest = read_manifest(folder)
    infos = {segment.info_name for segment in manifest.segments}
    needed = {*manifest.names(), *infos}
    beside = {manifest_path(folder, manifest.generation).name}
    beside |= {each.name for each in (manifest.dead and manifest.dead.file, manifest.layout.codebook) if each}
    ours = [name for name in listed(folder) if _is_ours(name)]
    return {
        "": [name for name in ours if name not in beside],
        SEGMENTS: [name for name in listed(folder / SEGMENTS) if name not in needed],
    }


def _is_ours(name: str) -> bool:
    """Whether a file beside the manifest may be one of a store's: others are left alone."""
    made = PATTERN.fullmatch(name) or name.startswith(("dead-", "codebook-"))
    partial = name.startswith((".manifest-", ".dead-", ".codebook-")) and name.endswith(".partial")
    return bool(made or partial)


def _with_dead(snapshot: Snapshot, share: float) -> set[int]:
    """Return the segments of which a larger share of clips is dead and not erased yet."""
    located = snapshot.locate(snapshot.dead).segments
    dead = np.bincount(located[located >= 0], minlength=len(snapshot.manifest.segments))
    return {
        index
        for index, segment in enumerate(snapshot.manifest.segments)
        if int(dead[index]) - (segment.rows - segment.clips) > share * segment.clips
    }


def _replace(folder: Place, group: Sequence[SegmentInfo], after: SegmentInfo | None) -> None:
    """Commit that a segment takes the place of others."""
    names = {segment.name for segment in group}
    new = [after] if after else []
    unused = [name for segment in group for name in (*(f.name for f in segment.files), segment.info_name)]

    def change(before: Manifest) -> Manifest:
        if [segment for segment in before.segments if segment.name in names] != list(group):
            raise ConflictError(f"another process compacts the token store '{folder}'; run it again later")
        index = [segment.name for segment in before.segments].index(group[0].name)
        rest = [segment for segment in before.segments if segment.name not in names]
        kept = (*rest[:index], *new, *rest[index:])
        dead = read_dead(folder, before)
        smaller = before.model_copy(update={"segments": kept, "garbage": (*before.garbage, *unused)})
        return without_unknown(folder, smaller, dead)

    commit_change(folder, change)


def _remove_garbage(folder: Place) -> tuple[int, int]:
    """Remove the files that earlier generations needed; returns how many, and their bytes."""
    manifest = read_manifest(folder)
    if not manifest.garbage:
        return 0, 0
    live = {*manifest.names(), *(segment.info_name for segment in manifest.segments)}
    with said_plainly(folder, "a token store cannot be written to"):
        sizes = file_sizes(folder / SEGMENTS)
        gone = [name for name in manifest.garbage if name in sizes and name not in live]
        for name in gone:
            remove_file(folder / SEGMENTS / name)
    done = set(manifest.garbage)

    def change(before: Manifest) -> Manifest:
        rest = tuple(name for name in before.garbage if name not in done)
        return before.model_copy(update={"garbage": rest})

    commit(folder, change)
    return len(gone), sum(sizes[name] for name in gone)
