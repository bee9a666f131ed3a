"""The files of a published corpus as they lie in a download, and what of them is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers import Row, Rows, cico_pickle, find_reader
from cico_platform.corpus.readers.rows import split_in_name
from cico_platform.errors import InputError
from cico_platform.reproduce.folders import Found, look_around
from cico_platform.reproduce.recipes import Recipe, Texts
from cico_platform.storage import Place, absolute, place

NAMED = 3


@dataclass(frozen=True)
class Missing:
    """Something that is not there: what, how it shows, and whether the reproduction needs it."""

    what: str
    where: str
    needed: bool = True


@dataclass(frozen=True)
class Table:
    """An annotation table of the corpus.

    Attributes
    ----------
    name
        The split, or "all" for a table of all splits.
    format
        Its reader.
    path, videos
        The table, and the folder that its videos or frames are in.
    splits
        Those of its sentences.
    rows
        Its sentences whose video is there, by split.
    without_video
        Names of the sentences whose video is not there.
    boxed
        How many of those with a video have a box of the signer.
    unassigned
        Names of those that the corpus puts into no split.
    """

    name: str
    format: str
    path: Place
    videos: Place
    splits: frozenset[str]
    rows: Mapping[str, int]
    without_video: Sequence[str]
    boxed: int
    unassigned: Sequence[str] = ()

    @property
    def total(self) -> int:
        """All its sentences with a video."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class Sources:
    """Tables of a corpus, CiCo's pickles of translated texts, what is missing, and choices that were made."""

    tables: Sequence[Table] = ()
    pickles: Sequence[Place] = ()
    missing: Sequence[Missing] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def rows(self) -> dict[str, int]:
        """Sentences of each split whose video is there."""
        counts: dict[str, int] = {}
        for table in self.tables:
            for split, count in table.rows.items():
                counts[split] = counts.get(split, 0) + count
        return counts


def find_sources(recipe: Recipe, root: str | Place, texts: Texts) -> Sources:
    """Find the files of a corpus under a folder, whatever its layout; no video is opened.

    Where the corpus' own tables are not there, CiCo's pickles are the tables.
    """
    root = place(absolute(root))
    found = look_around(root)
    pickles = [path for path in found.tables if cico_pickle.sniff(path)]
    own = [path for path in found.tables if _is_of(recipe, path)]
    chosen, notes = _choose_tables(recipe, own or pickles)
    tables = [_read_table(name, path, found, root) for name, path in chosen.items()]
    missing = [] if root.is_dir() else [Missing(f"the folder '{root}'", "--root")]
    missing += [*_missing_tables(recipe, tables), *_missing_media(recipe, tables)]
    if texts == "translated" and recipe.texts == "translated" and not pickles:
        where = recipe.downloads[1]
        missing.append(Missing(where.name, where.where))
    return Sources(tables, pickles, missing, notes)


def _is_of(recipe: Recipe, path: Place) -> bool:
    try:
        return find_reader(path).name == recipe.format
    except InputError:
        return False


def _choose_tables(recipe: Recipe, listed: Sequence[Place]) -> tuple[dict[str, Place], list[str]]:
    """The table of each split, or the only one, by the shortest name; what was passed over is told."""
    candidates: dict[str, list[Place]] = {}
    for path in listed:
        # CSL-Daily has one pickle for all splits.
        is_whole = path.suffix in (".pkl", ".pickle") and _is_of(recipe, path)
        split = "all" if is_whole else split_in_name(path.name) or "unknown"
        candidates.setdefault(split, []).append(path)
    chosen, notes = {}, []
    for split in ("all", "train", "validation", "test"):
        if split in candidates:
            # How2Sign also has tables that were not realigned, PHOENIX-2014T one with complex annotations.
            own = candidates[split]
            chosen[split] = min(own, key=lambda p: ("realigned" not in p.name, len(p.name), str(p)))
            notes += [f"'{path}' is not used: '{chosen[split]}' is" for path in own if path != chosen[split]]
    notes += [f"'{path}' is not used: its name tells no split" for path in candidates.get("unknown", [])]
    return chosen, notes


def _read_table(name: str, path: Place, found: Found, root: Place) -> Table:
    """Read a table with the folder of media in which most of its videos are."""
    candidates = list(dict.fromkeys([*found.media, path.parent, root]))
    read = [_read_with(name, path, videos) for videos in candidates]
    return max(read, key=lambda table: (table.total, -len(table.without_video)))


def _read_with(name: str, path: Place, videos: Place) -> Table:
    reader = find_reader(path)
    rows: Rows = reader.read(path, videos)
    media = MediaFolder(videos)
    counts: dict[str, int] = {}
    without: list[str] = []
    unassigned: list[str] = []
    boxed = 0
    for row in rows.good:
        if not row.split:
            unassigned.append(row.video_id)
        elif _is_there(media, row):
            counts[row.split] = counts.get(row.split, 0) + 1
            boxed += row.pixel_box is not None
        else:
            without.append(row.video_id)
    splits = frozenset(row.split for row in rows.good if row.split)
    return Table(name, reader.name, path, videos, splits, counts, without, boxed, unassigned)


def _is_there(media: MediaFolder, row: Row) -> bool:
    try:
        return media.find(row.file) is not None
    except InputError:
        return False


def _missing_tables(recipe: Recipe, tables: Sequence[Table]) -> list[Missing]:
    """The splits that no table has; only the validation split can be made of the training split."""
    where = recipe.downloads[0]
    splits = {split for table in tables for split in table.splits}
    if tables and not splits:
        names = ", ".join(table.path.name for table in tables)
        return [
            Missing(f"the official splits of the sentences of {names}: split_1.txt beside it", where.where)
        ]
    missing = []
    for split in sorted({"train", "validation", "test"} - splits):
        what = f"sentences of the {split} split: {where.name}"
        if split == "validation":
            what += "; without them, a part of the training texts is the validation split"
        missing.append(Missing(what, where.where, needed=split != "validation"))
    return missing


def _missing_media(recipe: Recipe, tables: Sequence[Table]) -> list[Missing]:
    where, missing = recipe.downloads[0], []
    for table in tables:
        lost, name = len(table.without_video), table.path.name
        for split in sorted(table.splits - set(table.rows)):
            what = f"videos or frames of the {split} split, of '{name}'"
            missing.append(Missing(what, where.where, needed=split != "validation"))
        if lost:
            some = ", ".join(table.without_video[:NAMED]) + (", …" if lost > NAMED else "")
            what = f"videos or frames of {lost} of {lost + table.total} sentences of '{name}': {some}"
            missing.append(Missing(what, where.where, needed=False))
        if recipe.boxed and table.format == recipe.format and table.total and not table.boxed:
            box = recipe.downloads[1]
            what = f"{box.name}, beside '{name}'; without them, the signer is searched for"
            missing.append(Missing(what, box.where, needed=False))
    return missing
