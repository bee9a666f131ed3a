"""CSL-Daily: a pickle of records, a table of splits beside it, one folder of JPEG frames a sentence."""

from typing import Any

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.corpus.readers.rows import Rows, decode_text, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place, matching

NAME = "csl-daily"
FRAMES = "sentence_frames-512x512"


def sniff(source: Place) -> bool:
    """Whether the source is a pickle of CSL-Daily's records."""
    if source.suffix.lower() not in (".pkl", ".pickle") or not source.is_file():
        return False
    try:
        _records(source)
    except InputError:
        return False
    return True


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a video; the text is the sentence's characters. Splits come from `split_*.txt` beside it.

    Raises
    ------
    InputError
        If the pickle holds anything but CSL-Daily's records.
    """
    media = MediaFolder(videos or source.parent)
    rows = Rows()
    rows.read_from(source)
    splits = _splits(source.parent, rows)
    for number, record in enumerate(_records(source)):
        where = f"{source.name}[{number}]"
        try:
            name, text = str(record["name"]), "".join(str(c) for c in record["label_char"])
        except (KeyError, TypeError):
            rows.refuse(where, "", "the record has no name or no label_char")
            continue
        found = media.first((f"{FRAMES}/{name}", name))
        rows.add(
            where,
            found or f"{FRAMES}/{name}",
            text,
            video_id=name,
            split=splits.get(name, ""),
            signer=str(record["signer"]) if record.get("signer") is not None else None,
            language="zh",
            sign_language="csl",
        )
    return rows


def _records(source: Place) -> list[Any]:
    data = load_data(source)
    records = data.get("info") if isinstance(data, dict) else None
    if not isinstance(records, list) or not records or not isinstance(records[0], dict):
        raise InputError(f"'{source}' holds no list 'info' of CSL-Daily's records")
    if "label_char" not in records[0]:
        raise InputError(f"the records of '{source}' have no 'label_char'")
    return records


def _splits(folder: Place, rows: Rows) -> dict[str, str]:
    splits = {}
    for path in matching(folder, "split_*.txt"):
        rows.read_from(path)
        for line in decode_text(read_bytes(path)).splitlines():
            name, _, split = line.strip().partition("|")
            if split in ("train", "dev", "test"):
                splits[name] = split
    return splits
