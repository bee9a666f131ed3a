"""CiCo's own pickles: a dictionary of sentences, each with one video or several."""

from typing import Any

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.corpus.readers.rows import Rows, split_in_name
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "cico"


def sniff(source: Place) -> bool:
    """Whether the source is a pickle of sentences with `video_name` and `text`."""
    if source.suffix.lower() not in (".pkl", ".pickle") or not source.is_file():
        return False
    try:
        _sentences(source)
    except InputError:
        return False
    return True


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a video; the split is told by the file's name.

    Raises
    ------
    InputError
        If the pickle holds anything but such sentences.
    """
    media = MediaFolder(videos or source.parent)
    split = split_in_name(source.name)
    rows = Rows()
    rows.read_from(source)
    for key, entries in _sentences(source).items():
        listed = entries if isinstance(entries, list) else [entries]
        for number, entry in enumerate(listed):
            where = f"{source.name}[{key}]" + (f"[{number}]" if len(listed) > 1 else "")
            if not isinstance(entry, dict) or "video_name" not in entry or "text" not in entry:
                rows.refuse(where, "", "the entry has no video_name or no text")
                continue
            name = str(entry["video_name"])
            found = media.first((name,))
            rows.add(where, found or f"{name}.mp4", str(entry["text"]), video_id=name, split=split)
    return rows


def _sentences(source: Place) -> dict[Any, Any]:
    data = load_data(source)
    if not isinstance(data, dict) or not data:
        raise InputError(f"'{source}' is not a dictionary of sentences")
    first = next(iter(data.values()))
    first = first[0] if isinstance(first, list) and first else first
    if not isinstance(first, dict) or "video_name" not in first or "text" not in first:
        raise InputError(f"the entries of '{source}' have no 'video_name' and 'text'")
    return data
