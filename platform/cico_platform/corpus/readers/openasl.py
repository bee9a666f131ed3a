"""OpenASL: a table of clips of YouTube videos, signers' boxes in a JSON file beside it."""

import json

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.json_lists import NO_BOX, fractions
from cico_platform.corpus.readers.rows import Rows, decode_text, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place, matching

NAME = "openasl"
COLUMNS = ("vid", "yid", "start", "end", "split", "raw-text")


def sniff(source: Place) -> bool:
    """Whether the source is a table with OpenASL's columns."""
    if not source.is_file():
        return False
    try:
        header = decode_text(read_bytes(source)).split("\n", 1)[0]
    except InputError:
        return False
    return set(COLUMNS) <= set(header.strip().split("\t"))


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a clip: its own file (`vid.mp4`), else its times in the whole video (`yid.mp4`).

    Raises
    ------
    InputError
        If the columns are missing.
    """
    lines = decode_text(read_bytes(source)).replace("\r\n", "\n").split("\n")
    header = lines[0].strip().split("\t")
    if not set(COLUMNS) <= set(header):
        raise InputError(f"'{source}' has not OpenASL's tab-separated columns {', '.join(COLUMNS)}")
    media = MediaFolder(videos or source.parent)
    rows = Rows()
    rows.read_from(source)
    boxes = _boxes(source.parent, rows)
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        where, cells = f"{source.name}:{number}", line.split("\t")
        if len(cells) != len(header):
            rows.refuse(where, cells[0], f"{len(cells)} fields where the header has {len(header)}")
            continue
        entry = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        clip = media.first((entry["vid"],))
        whole = None if clip else media.first((entry["yid"],))
        rows.add(
            where,
            clip or whole or f"{entry['vid']}.mp4",
            entry["raw-text"],
            video_id=entry["vid"],
            split=entry["split"],
            crop=boxes.get(entry["vid"]),
            language="en",
            sign_language="ase",
            **({"start": entry["start"], "end": entry["end"]} if whole else {}),
        )
    return rows


def _boxes(folder: Place, rows: Rows) -> dict[str, tuple[float, float, float, float]]:
    """The signers' boxes of `bbox*.json` beside the table, in fractions of the frame, by clip."""
    boxes = {}
    for path in matching(folder, "bbox*.json"):
        rows.read_from(path)
        try:
            data = json.loads(decode_text(read_bytes(path)))
        except (ValueError, RecursionError) as error:
            raise InputError(f"'{path}' is not JSON: {error}") from error
        for name, box in data.items() if isinstance(data, dict) else ():
            found = fractions(box)
            if found is None:
                rows.notes[NO_BOX] += 1
            else:
                boxes[str(name)] = found
    return boxes
