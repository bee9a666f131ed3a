"""RWTH-PHOENIX-Weather 2014 T: `|`-separated annotations, one folder of PNG frames a sentence."""

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.rows import Rows, decode_text, read_bytes, split_in_name
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "phoenix2014t"
COLUMNS = ("name", "video", "start", "end", "speaker", "orth", "translation")


def sniff(source: Place) -> bool:
    """Whether the source is a table with PHOENIX-2014T's columns."""
    if not source.is_file():
        return False
    try:
        header = decode_text(read_bytes(source)).split("\n", 1)[0]
    except InputError:
        return False
    return header.strip().split("|") == list(COLUMNS)


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a sentence (the German translation); the split is told by the file's name.

    Raises
    ------
    InputError
        If the columns are missing.
    """
    lines = decode_text(read_bytes(source)).replace("\r\n", "\n").split("\n")
    if lines[0].strip().split("|") != list(COLUMNS):
        raise InputError(f"'{source}' has not PHOENIX-2014T's columns {'|'.join(COLUMNS)}")
    split = split_in_name(source.name)
    folder = {"validation": "dev"}.get(split, split)
    media = MediaFolder(videos or source.parent)
    rows = Rows()
    rows.read_from(source)
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        where, cells = f"{source.name}:{number}", line.split("|")
        if len(cells) != len(COLUMNS):
            rows.refuse(where, cells[0], f"{len(cells)} fields where the header has {len(COLUMNS)}")
            continue
        name = cells[0].strip()
        places = (f"{folder}/{name}", f"features/fullFrame-210x260px/{folder}/{name}", name)
        found = media.first([f"{place}/1" for place in places] + list(places))
        rows.add(
            where,
            found or f"{folder}/{name}",
            cells[6],
            video_id=name,
            split=split,
            signer=cells[4],
            language="de",
            sign_language="gsg",
        )
    return rows
