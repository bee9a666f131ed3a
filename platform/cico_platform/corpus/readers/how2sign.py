"""How2Sign: realigned sentences (tab-separated), sentence clips or whole videos, signers' boxes in a pickle.

The table's columns and the boxes' keys are those of https://how2sign.github.io and of CiCo's published files.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cico_platform.corpus.media_files import is_hidden
from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.pixel_box import BoxScale
from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.corpus.readers.rows import Rows, decode_text, read_bytes, split_in_name
from cico_platform.errors import InputError
from cico_platform.storage import Place, matching

NAME = "how2sign"
COLUMNS = ("VIDEO_ID", "VIDEO_NAME", "SENTENCE_NAME", "SENTENCE")
LICENCE = "CC BY-NC 4.0"
# The published videos are of this size, and the published boxes in their pixels.
FRAME = (1280, 720)
NO_BOX = "entry of a file of boxes that is no box: the signer is searched for"


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
    rows = Rows()
    rows.read_from(source)
    boxes = _boxes(source.parent, rows)
    right, bottom = (max((box[side] for box in boxes.values()), default=0.0) for side in (2, 3))
    scale = BoxScale((right, bottom), FRAME)
    media, split = MediaFolder(videos or source.parent), split_in_name(source.name)
    for line in _lines(lines[1:], header):
        where = f"{source.name}:{line.number}"
        if line.reason or line.entry is None:
            rows.refuse(where, "", line.reason)
            continue
        cut = f"{line.video}_clip{line.clip}" if line.clip is not None else None
        box = {"pixel_box": boxes.get(f"{cut}.mp4"), "box_scale": scale}
        _add(rows, where, line.entry, cut, box, media, split)
    return rows


@dataclass
class _Line:
    """A line of the table: its fields, or the reason why it is no row.

    `clip` is its number among the lines of its video, broken ones included; None where a broken line before
    it does not tell its video, so that the number is not known.
    """

    number: int
    cells: list[str]
    entry: dict[str, str] | None = None
    reason: str = ""
    video: str | None = None
    clip: int | None = None


def _lines(lines: list[str], header: list[str]) -> list[_Line]:
    found = [_Line(number, line.split("\t")) for number, line in enumerate(lines, 2) if line.strip()]
    name, sentence = header.index("VIDEO_NAME"), header.index("SENTENCE")
    for line in found:
        if len(line.cells) == len(header):
            line.entry = dict(zip(header, line.cells, strict=True))
        else:
            line.reason = f"{len(line.cells)} fields where the header has {len(header)}"
        # Of too many fields, those before the sentence are in their columns.
        if line.entry or (len(line.cells) > len(header) and name < sentence):
            line.video = line.cells[name].strip()
    known = {line.video for line in found if line.video}
    for before, line in pairwise([_Line(1, []), *found]):
        if line.video is None:
            line.video = next((c.strip() for c in line.cells if c.strip() in known), None)
            if len(line.cells) == 1 and line.video is None and before.entry is not None:
                before.reason = f"the sentence goes on in line {line.number}"
    _number(found)
    return found


def _number(found: list[_Line]) -> None:
    """Count each video's lines. A broken line between lines of one video is one of them."""
    seen: Counter[str | None] = Counter()
    unsure: set[str | None] = set()
    after: list[str | None] = [None]
    for line in reversed(found[1:]):
        after.append(line.video or after[-1])
    before: str | None = None
    for line, following in zip(found, reversed(after), strict=False):
        if line.video is None and len(line.cells) > 1:
            if before == following:
                line.video = before
            elif not seen[following]:
                unsure.add(following)  # it may be the first line of the next video
        before = line.video or before
        if line.video is not None:
            line.clip = None if line.video in unsure else seen[line.video]
            seen[line.video] += 1


def _add(
    rows: Rows,
    where: str,
    entry: dict[str, str],
    cut: str | None,
    box: dict[str, Any],
    media: MediaFolder,
    split: str,
) -> None:
    sentence, video = entry["SENTENCE_NAME"].strip(), entry["VIDEO_NAME"].strip()
    clip = media.first((sentence, *([cut] if cut else [])))
    whole = None if clip else media.first((video,))
    times = {}
    if whole:
        times = {
            "start": entry.get("START_REALIGNED") or entry.get("START"),
            "end": entry.get("END_REALIGNED") or entry.get("END"),
        }
    elif clip is None and cut is None:
        rows.refuse(where, "", "a broken line above does not tell its video: the clip's number is not known")
        return
    parts = video.removeprefix(entry["VIDEO_ID"].strip()).split("-")
    rows.add(
        where,
        clip or whole or f"{sentence}.mp4",
        entry["SENTENCE"],
        video_id=sentence,
        split=split,
        signer=parts[1] if len(parts) > 2 else None,
        language="en",
        sign_language="ase",
        licence=LICENCE,
        **times,
        **box,
    )


def _boxes(folder: Place, rows: Rows) -> dict[str, tuple[float, float, float, float]]:
    """The signers' boxes of every `*bounding_box*.pkl` beside the table, by the clip's file name."""
    boxes = {}
    for path in matching(folder, "*bounding_box*.pkl"):
        if is_hidden(path.name):
            continue
        data = load_data(path)
        rows.read_from(path)
        for name, box in data.items() if isinstance(data, dict) else ():
            try:
                boxes[str(name)] = (float(box["x1"]), float(box["y1"]), float(box["x2"]), float(box["y2"]))
            except (KeyError, TypeError, ValueError):
                rows.notes[NO_BOX] += 1
    return boxes
