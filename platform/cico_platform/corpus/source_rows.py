"""The rows of a source, where their files are, and what of the folders no row uses."""

from dataclasses import dataclass, replace

from cico_model.text_cleaning import clean_text
from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers import BESIDE, BadRow, Reader, Row, Rows, elan, find_readers
from cico_platform.corpus.readers.rows import joined
from cico_platform.corpus.source_files import Listing, NotRead, list_files, not_read, path_version
from cico_platform.errors import InputError
from cico_platform.storage import Place, absolute, absolute_place, place, relative


@dataclass(frozen=True)
class SourceRows:
    """The rows and files of a source, before any video is opened.

    Attributes
    ----------
    rows
        As the readers gave them.
    located
        The rows whose files are there, each with its file.
    bad
        The rows that cannot be used, those without a file included.
    readers
        Each reader with its number of rows.
    root
        The folder that the files are in.
    left
        What no row uses.
    versions
        The paths and versions of everything that decides the clips.
    """

    rows: Rows
    located: list[tuple[Row, Place]]
    bad: list[BadRow]
    readers: dict[str, int]
    root: Place
    left: NotRead
    versions: list[object]


def read_rows(
    source: Place, name: str, videos: str | Place | None, choice: elan.Choice, out: Place
) -> SourceRows:
    """Read the rows of a source and find their files.

    Parameters
    ----------
    source
        An annotation file or a folder.
    name
        A name of `readers.FORMATS`.
    videos
        The folder that the rows' files are in; by default the source's own folder.
    choice
        Which tiers and media of ELAN documents are taken.
    out
        A folder that is no part of the source, wherever it lies.

    Raises
    ------
    InputError
        If the source cannot be understood.
    """
    readers = find_readers(source, name)
    if (choice.tiers or choice.media) and all(reader.name != elan.NAME for reader in readers):
        raise InputError("--tier and --media choose among the tiers and media of ELAN files; there are none")
    root = _root(source, videos, readers[0])
    rows, counts = _rows(source, root, readers, choice)
    located, bad = _locate(rows, root)
    listing = list_files(root, skip=absolute(out))
    left = _not_read(source, root, listing, located, bad, rows.sources, absolute(out))
    base = absolute_place(root)
    known = {str(base / path) for path in listing.videos}
    beside = [(str(path), path_version(path)) for _, path in located if str(path) not in known]
    return SourceRows(rows, located, bad, counts, root, left, [listing.videos, listing.images, beside])


def _root(source: Place, videos: str | Place | None, reader: Reader) -> Place:
    """The folder that the rows' files are in."""
    if videos is not None:
        root = place(videos)
    elif source.is_dir():
        root = source
    else:
        root = reader.default_videos(source) or source.parent
    if not root.is_dir():
        raise InputError(f"the videos' folder '{root}' does not exist")
    return root


def _rows(
    source: Place, root: Place, readers: list[Reader], choice: elan.Choice
) -> tuple[Rows, dict[str, int]]:
    """The rows of all readers, and how many each gave."""
    parts = []
    for reader in readers:
        more = {"choice": choice} if reader.name == elan.NAME else {}
        parts.append(reader.read(source, root, **more))
    rows = joined(parts)
    if any(reader.name in BESIDE for reader in readers):
        rows = _without_repeats(rows)
    return rows, {reader.name: len(part) for reader, part in zip(readers, parts, strict=True)}


def _without_repeats(rows: Rows) -> Rows:
    """Refuse rows that another annotation file of the video gave already, with the same text and times."""
    seen: dict[tuple[object, ...], Row] = {}
    good, bad = [], list(rows.bad)
    for row in rows.good:
        first = seen.setdefault((row.file, row.start, row.end, clean_text(row.text)), row)
        if _file_of(first) == _file_of(row):
            good.append(row)
        else:
            reason = f"the same text and times as {first.where}"
            bad.append(BadRow(row.where, row.file, reason, row.number))
    return replace(rows, good=good, bad=bad)


def _file_of(row: Row) -> str:
    return row.where.partition("[")[0].rpartition(":")[0] or row.where.partition("[")[0]


def _locate(rows: Rows, root: Place) -> tuple[list[tuple[Row, Place]], list[BadRow]]:
    """The rows whose files are there, and the others with the reason."""
    media = MediaFolder(root)
    located, bad = [], list(rows.bad)
    for row in rows.good:
        try:
            located.append((row, media.locate(row.file)))
        except InputError as error:
            bad.append(BadRow(row.where, row.file, str(error), row.number))
    return located, bad


def _not_read(
    source: Place,
    root: Place,
    listing: Listing,
    located: list[tuple[Row, Place]],
    bad: list[BadRow],
    sources: set[str],
    out: str,
) -> NotRead:
    """Return the files that no row uses, below the videos' folder and below the source."""
    base, media = absolute_place(root), MediaFolder(root)
    used = {relative(path, base) for path in {str(p): p for _, p in located}.values()}
    used |= {found for file in {b.file for b in bad} if file and (found := media.first((file,)))}
    left = not_read(base, listing, used, sources)
    if source.is_dir() and absolute(source) != absolute(root):
        beside = list_files(source, skip=out)
        more = not_read(source, Listing(annotations=beside.annotations, others=beside.others), used, sources)
        left = NotRead(left.videos, sorted({*left.names, *more.names}))
    return left
