"""Changes of a store: it is made, segments are added, rows are marked dead. Each is one commit."""

from collections.abc import Callable, Collection, Sequence

from cico_platform.errors import InputError
from cico_platform.index.clips import Tokens
from cico_platform.index.token_store.errors import ConflictError, DamagedFileError
from cico_platform.index.token_store.files import remove_file, said_plainly
from cico_platform.index.token_store.manifests import commit, create_manifest, read_manifest
from cico_platform.index.token_store.records import SEGMENTS, Layout, Manifest, SegmentInfo, Storage
from cico_platform.index.token_store.row_numbers import Rows, as_rows, split
from cico_platform.index.token_store.store_codec import make_layout
from cico_platform.index.token_store.tombstones import NO_ROWS, read_dead, with_dead
from cico_platform.storage import Place, file_sizes, place


def create_store(
    folder: str | Place, dim: int, storage: Storage = "none", sample: Tokens | None = None
) -> Layout:
    """Make an empty store; one with the same layout stays as it is.

    Parameters
    ----------
    dim
        Width of a token.
    storage
        `none` keeps tokens in half precision, `scalar` a byte a number, `product` a byte for four numbers.
    sample
        For `product`: some 16,384 tokens [N, dim] of the collection, from which centroids are learned.

    Returns
    -------
    Layout
        For the workers that write segments.

    Raises
    ------
    InputError
        If the settings cannot be used, or there is a store with others.
    """
    there = place(folder)
    return create_manifest(there, make_layout(there, dim, storage, sample)).layout


def add_segments(folder: str | Place, segments: Sequence[SegmentInfo], dead: Rows = NO_ROWS) -> Manifest:
    """Make written segments part of the store, and mark rows dead that they replace: both or nothing.

    Segments that are part of it already change nothing, so that a commit may be repeated.

    Parameters
    ----------
    segments
        As `SegmentWriter.finish` returned them.
    dead
        Rows to mark dead, uint64 [n].

    Raises
    ------
    InputError
        If the store does not hold a dead row, or a segment cannot become part of it.
    DamagedFileError
        If a file of a segment is missing or of another size.
    """
    there, rows = place(folder), as_rows(dead)

    def change(before: Manifest) -> Manifest:
        new = _unknown(there, before, segments)
        _check_files(there, new)
        grown = before.model_copy(update={"segments": (*before.segments, *new)})
        return with_dead(there, grown, rows)

    return commit_change(there, change)


def mark_dead(folder: str | Place, rows: Rows) -> Manifest:
    """Mark rows dead. Their tokens stay in the files until the store is compacted.

    Raises
    ------
    InputError
        If the store does not hold a row.
    """
    there, wanted = place(folder), as_rows(rows)
    return commit_change(there, lambda before: with_dead(there, before, wanted))


def commit_change(folder: Place, change: Callable[[Manifest], Manifest]) -> Manifest:
    """`manifests.commit`, then remove the files of dead rows that it replaced."""
    seen: set[str] = set()

    def recorded(before: Manifest) -> Manifest:
        after = change(before)
        seen.update(each.dead.file.name for each in (before, after) if each.dead)
        return after

    try:
        after = commit(folder, recorded)
    except ConflictError:
        _remove_dead(folder, seen, read_manifest(folder))
        raise
    _remove_dead(folder, seen, after)
    return after


def _remove_dead(folder: Place, names: Collection[str], newest: Manifest) -> None:
    with said_plainly(folder, "a token store cannot be written to"):
        for name in names:
            if newest.dead is None or name != newest.dead.file.name:
                remove_file(folder / name)


def _unknown(folder: Place, before: Manifest, segments: Sequence[SegmentInfo]) -> list[SegmentInfo]:
    """Return the segments that are not part of the store yet, each once."""
    names = {each.number: each.name for segment in before.segments for each in segment.ranges}
    dead = {int(number) for number in split(read_dead(folder, before))[0]}
    new: list[SegmentInfo] = []
    for segment in segments:
        if segment.layout != before.layout:
            raise InputError(f"segment {segment.name} was written with {segment.layout}, not {before.layout}")
        (only,) = segment.ranges
        if only.number not in names:
            new.append(segment)
        elif names[only.number] != only.name:
            raise InputError(
                f"the segments {only.name} and {names[only.number]} have the same number by chance; "
                "write the first one again with another recipe"
            )
        elif only.number in dead:
            raise InputError(
                f"rows of segment {only.name} were marked dead; to add its clips again, write them with a "
                f"recipe that names the store's generation, {before.generation}"
            )
        names[only.number] = only.name
    return new


def _check_files(folder: Place, segments: Sequence[SegmentInfo]) -> None:
    if not segments:
        return
    with said_plainly(folder, "a token store cannot be read from"):
        sizes = file_sizes(folder / SEGMENTS)
    for segment in segments:
        for file in segment.files:
            if sizes.get(file.name) != file.bytes:
                found = f"has {sizes[file.name]} bytes" if file.name in sizes else "is missing"
                raise DamagedFileError(
                    f"'{folder / SEGMENTS / file.name}' {found}, and {file.bytes} bytes were written"
                )
