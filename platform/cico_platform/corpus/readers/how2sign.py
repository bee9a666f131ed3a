"""How2Sign: realigned sentences (tab-separated), sentence clips or whole videos, signers' boxes in a pickle.

The table's columns and the boxes' keys are those of https://how2sign.github.io and of CiCo's published files.
"""

from collections import Counter
from typing import Any

from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.corpus.readers.rows import BadRow, Rows, decode_text, find_first, read_bytes, split_in_name
from cico_platform.errors import InputError
from cico_platform.storage import Place, matching

NAME = "how2sign"
COLUMNS = ("VIDEO_ID", "VIDEO_NAME", "SENTENCE_NAME", "SENTENCE")
LICENCE = "CC BY-NC 4.0"


def sniff(source: Place) -> bool:
    """Whether the source is a table with How2Sign's columns."""
    if not source.is_file():
        return False
    try:
        header = decode_text(read_bytes(source)).split("\n", 1)[0]
    except InputError:
        return False
    return set(COLUMNS) <= set(header.strip().split("\t"))


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a sentence; the split is told by the file's name.

    A sentence's own clip (`SENTENCE_NAME.mp4`, or CiCo's `VIDEO_NAME_clipN.mp4`) is preferred to its times in
    the whole video.

    Raises
    ------
    InputError
        If the columns are missing.
    """
    lines = decode_text(read_bytes(source)).replace("\r\n", "\n").split("\n")
    header = lines[0].strip().split("\t")
    if not set(COLUMNS) <= set(header):
        raise InputError(f"'{source}' has not How2Sign's tab-separated columns {', '.join(COLUMNS)}")
    boxes = _boxes(source.parent)
    root, split = videos or source.parent, split_in_name(source.name)
    rows, seen = Rows(), Counter[str]()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        where, cells = f"{source.name}:{number}", line.split("\t")
        if len(cells) != len(header):
            rows.bad.append(BadRow(where, "", f"{len(cells)} fields where the header has {len(header)}"))
            continue
        entry = dict(zip(header, cells, strict=True))
        video = entry["VIDEO_NAME"].strip()
        cut = f"{video}_clip{seen[video]}"
        seen[video] += 1
        _add(rows, where, entry, cut, boxes.get(f"{cut}.mp4"), root, split)
    return rows


def _add(
    rows: Rows, where: str, entry: dict[str, str], cut: str, box: Any, videos: Place, split: str
) -> None:
    clip = find_first(videos, (entry["SENTENCE_NAME"].strip(), cut))
    whole = None if clip else find_first(videos, (entry["VIDEO_NAME"].strip(),))
    times = {}
    if whole:
        times = {
            "start": entry.get("START_REALIGNED") or entry.get("START"),
            "end": entry.get("END_REALIGNED") or entry.get("END"),
        }
    parts = entry["VIDEO_NAME"].strip().removeprefix(entry["VIDEO_ID"].strip()).split("-")
    rows.add(
        where,
        clip or whole or f"{entry['SENTENCE_NAME'].strip()}.mp4",
        entry["SENTENCE"],
        video_id=entry["SENTENCE_NAME"].strip(),
        split=split,
        pixel_box=box,
        signer=parts[1] if len(parts) > 2 else None,
        language="en",
        sign_language="ase",
        licence=LICENCE,
        **times,
    )


def _boxes(folder: Place) -> dict[str, tuple[float, float, float, float]]:
    """The signers' boxes of every `*bounding_box*.pkl` beside the table, by the clip's file name."""
    boxes = {}
    for path in matching(folder, "*bounding_box*.pkl"):
        data = load_data(path)
        for name, box in data.items() if isinstance(data, dict) else ():
            try:
                boxes[str(name)] = (float(box["x1"]), float(box["y1"]), float(box["x2"]), float(box["y2"]))
            except (KeyError, TypeError, ValueError):
                continue
    return boxes
