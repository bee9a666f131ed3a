"""MS-ASL, as Microsoft publishes it: `MSASL_train.json`, a list of signs in YouTube videos.

`start` and `end` are frames, `start_time` and `end_time` seconds; `box` is `[y0, x0, y1, x1]` in fractions.
"""

from typing import Any

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.columns import unused_columns
from cico_platform.corpus.readers.json_lists import NO_BOX, fractions, holds_entries, load_list, text_of
from cico_platform.corpus.readers.rows import Rows, split_in_name
from cico_platform.corpus.readers.youtube import find_youtube, youtube_id
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "msasl"
KEYS = frozenset(("clean_text", "start_time", "end_time", "url", "text"))
USED = KEYS | {"file", "box", "signer_id", "signer"}


def sniff(source: Place) -> bool:
    """Whether the source is a JSON list with MS-ASL's keys."""
    return holds_entries(source, KEYS)


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a sign, from `start_time` to `end_time`; the split is told by the file's name.

    The video is the one that `file` names, else the one that has the name of the address' YouTube id.

    Raises
    ------
    InputError
        If the file is no list of MS-ASL's objects.
    """
    entries = load_list(source)
    if not holds_entries(source, KEYS):
        raise InputError(f"the objects of '{source}' have not MS-ASL's keys {', '.join(sorted(KEYS))}")
    media = MediaFolder(videos or source.parent)
    split = split_in_name(source.name)
    objects = [entry for entry in entries if isinstance(entry, dict)]
    rows = Rows(named=True, unused_columns=unused_columns(objects, USED))
    rows.read_from(source)
    for number, entry in enumerate(entries):
        _add(rows, f"{source.name}[{number}]", entry, media, split)
    return rows


def _add(rows: Rows, where: str, entry: Any, media: MediaFolder, split: str) -> None:
    if not isinstance(entry, dict):
        rows.refuse(where, "", "not a JSON object")
        return
    url, named = text_of(entry.get("url")), text_of(entry.get("file"))
    name = youtube_id(url)
    file = (media.first((named,)) if named else None) or find_youtube(media, url)
    if entry.get("start_time") is None or entry.get("end_time") is None:
        rows.refuse(where, file or named, "the sign has no start_time or no end_time")
        return
    signer = entry.get("signer_id", entry.get("signer"))
    box = fractions(entry.get("box"))
    if box is None and entry.get("box") is not None:
        rows.notes[NO_BOX] += 1
    rows.add(
        where,
        file or (f"{name}.mp4" if name else named),
        text_of(entry.get("text")) or text_of(entry.get("clean_text")),
        label=text_of(entry.get("text")) or text_of(entry.get("clean_text")),
        split=split,
        start=entry["start_time"],
        end=entry["end_time"],
        crop=box and (box[1], box[0], box[3], box[2]),
        signer=None if signer is None or signer == -1 else str(signer),
        language="en",
        sign_language="ase",
    )
