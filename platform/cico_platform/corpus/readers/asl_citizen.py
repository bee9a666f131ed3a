"""ASL Citizen, as it is published: `splits/train.csv` and so on, with the videos in `videos/` beside."""

from dataclasses import replace

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers import labels
from cico_platform.corpus.readers.rows import Row, Rows, decode_text, read_bytes, split_in_name
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "asl-citizen"
COLUMNS = ("Participant ID", "Video file", "Gloss")


def sniff(source: Place) -> bool:
    """Whether the source is a table with ASL Citizen's columns."""
    if not source.is_file():
        return False
    try:
        header = decode_text(read_bytes(source)).split("\n", 1)[0]
    except InputError:
        return False
    return set(COLUMNS) <= {name.strip().strip('"') for name in header.split(",")}


def default_videos(source: Place) -> Place | None:
    """Where the videos are as published: `videos/` beside the folder of the tables."""
    folder = source.parent.parent / "videos"
    return folder if source.is_file() and source.parent.name == "splits" and folder.is_dir() else None


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a video, whole; the split is told by the file's name.

    Raises
    ------
    InputError
        If the columns are missing.
    """
    if not sniff(source):
        raise InputError(f"'{source}' has not ASL Citizen's columns {', '.join(COLUMNS)}")
    rows = labels.read(source)
    media = MediaFolder(videos or default_videos(source) or source.parent)
    split = split_in_name(source.name)
    rows.good = [_completed(row, media, split) for row in rows.good]
    return rows


def _completed(row: Row, media: MediaFolder, split: str) -> Row:
    file = media.first((row.file, f"videos/{row.file}")) or row.file
    return replace(row, file=file, split=row.split or split, language="en", sign_language="ase")
