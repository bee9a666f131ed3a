"""How2Sign: realigned sentences (tab-separated), sentence clips or whole videos, signers' boxes in a pickle.

The table's columns and the boxes' keys are those of https://how2sign.github.io and of CiCo's published files.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cico_platform.corpus.media_files import is_hidden
from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.pixel_box import BoxScale
from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.corpus.readers.rows import Rows, decode_text, read_bytes, seconds, split_in_name
from cico_platform.errors import InputError
from cico_platform.storage import Place, matching

NAME = "how2sign"
COLUMNS = ("VIDEO_ID", "VIDEO_NAME", "SENTENCE_NAME", "SENTENCE")
STARTS, ENDS = ("START_REALIGNED", "START"), ("END_REALIGNED", "END")
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
    the whole video. CiCo's clips have been cut to the signer's box if they are square.

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
        cut = f"{line.video}_clip{line.clip}" if line.clip is not None else ""
        box = {"pixel_box": boxes.get(f"{cut}.mp4"), "box_scale": scale}
        if not _add(rows, where, line.entry, cut, box, media, split):
            rows.refuse(where, "", f"{line.no_clip}: the clip's number is not known")
    return rows


@dataclass
class _Line:
    """A line of the table: its fields, or the reason why it is no row.

    `clip` is its number among the lines of its video in the order of their starts, broken ones included, as
    CiCo's script numbers them; None where a broken line makes that unknown, as `no_clip` says.
    """

    number: int
    cells: list[str]
    entry: dict[str, str] | None = None
    reason: str = ""
    video: str | None = None
    start: float | None = None
    clip: int | None = None
    no_clip: str = ""


def _lines(lines: list[str], header: list[str]) -> list[_Line]:
    found = [_Line(number, line.split("\t")) for number, line in enumerate(lines, 2) if line.strip()]
    name, sentence = header.index("VIDEO_NAME"), header.index("SENTENCE")
    start = next((header.index(column) for column in STARTS if column in header), sentence)
    for line in found:
        if len(line.cells) == len(header):
            line.entry = dict(zip(header, map(_unquoted, line.cells), strict=True))
        else:
            line.reason = f"{len(line.cells)} fields where the header has {len(header)}"
        # Of too many fields, those before the sentence are in their columns.
        placed = line.entry is not None or len(line.cells) > len(header)
        if placed and (line.entry or name < sentence):
            line.video = line.cells[name].strip()
        if placed and (line.entry or start < sentence) and start != sentence:
            line.start = _time(line.cells[start])
    known = {line.video for line in found if line.video}
    for before, line in pairwise([_Line(1, []), *found]):
        if line.video is None:
            line.video = next((c.strip() for c in line.cells if c.strip() in known), None)
            if len(line.cells) == 1 and line.video is None and before.entry is not None:
                before.reason = f"the sentence goes on in line {line.number}"
    _number(found)
    return found


def _unquoted(cell: str) -> str:
    """The cell without the quotation marks that CSV puts around a text that holds some, which are doubled."""
    inner = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else cell


def _time(cell: str) -> float | None:
    try:
        return seconds(cell)
    except InputError:
        return None


def _number(found: list[_Line]) -> None:
    """Number each video's lines by their starts. A broken line between lines of one video is one of them."""
    videos: dict[str, list[_Line]] = {}
    unsure: set[str | None] = set()
    after: list[str | None] = [None]
    for line in reversed(found[1:]):
        after.append(line.video or after[-1])
    before: str | None = None
    for line, following in zip(found, reversed(after), strict=False):
        if line.video is None and len(line.cells) > 1:
            if before == following:
                line.video = before
            elif following not in videos:
                unsure.add(following)  # it may be the first line of the next video
        before = line.video or before
        if line.video is not None:
            videos.setdefault(line.video, []).append(line)
    for video, lines in videos.items():
        ordered = _by_start(lines)
        for number, line in enumerate(ordered or lines):
            if video in unsure:
                line.no_clip = "a broken line above does not tell its video"
            elif ordered is None:
                line.no_clip = "a broken line of its video does not tell its start"
            else:
                line.clip = number


def _by_start(lines: list[_Line]) -> list[_Line] | None:
    """The lines in the order of their starts; None where a line without one could be anywhere."""
    known = [line.start for line in lines if line.start is not None]
    if len(known) < len(lines) and known != sorted(known):
        return None
    last = -1.0
    for line in lines:  # in a table that is in order, a line without a start is where it stands
        last = line.start = last if line.start is None else line.start
    return sorted(lines, key=lambda line: line.start or 0.0)


def _add(
    rows: Rows,
    where: str,
    entry: dict[str, str],
    cut: str,
    box: dict[str, Any],
    media: MediaFolder,
    split: str,
) -> bool:
    """Add a sentence; False where only the clip's number, which is not known, could tell its file."""
    sentence, video = entry["SENTENCE_NAME"].strip(), entry["VIDEO_NAME"].strip()
    own = media.first((sentence,))
    clip = own or (media.first((cut,)) if cut else None)
    whole = None if clip else media.first((video,))
    times = {}
    if whole:
        times = {
            "start": next((entry[name] for name in STARTS if entry.get(name)), None),
            "end": next((entry[name] for name in ENDS if entry.get(name)), None),
        }
    elif clip is None and not cut:
        return False
    parts = video.removeprefix(entry["VIDEO_ID"].strip()).split("-")
    rows.add(
        where,
        clip or whole or f"{sentence}.mp4",
        entry["SENTENCE"],
        video_id=sentence,
        split=split,
        cut_if_square=clip is not None and own is None,
        signer=parts[1] if len(parts) > 2 else None,
        language="en",
        sign_language="ase",
        licence=LICENCE,
        **times,
        **box,
    )
    return True


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
