"""Probing one row of a corpus: its interval in seconds, what the video gives of it, and what was changed."""

from typing import Any

from cico_platform.corpus.clip_keys import file_facts
from cico_platform.corpus.frame_times import frame_interval
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.probe import probe

# An interval that ends so many frames after the video was rounded, not wrong.
ROUNDED_FRAMES = 1.5


def probe_row(row: dict[str, Any]) -> dict[str, Any]:
    """Probe a row whose interval may be given in frames.

    Parameters
    ----------
    row
        As `probe` takes it, with `frames` (`[first, last]` or None) and `cut_frames`, see `frame_interval`.

    Returns
    -------
    dict
        As `probe` gives it, with `clipped` (the interval left the video and was cut to it), `is_cut` (the
        file held the interval alone) and `file` (version, size and time, as `FileFacts`).
    """
    clipped = is_cut = False
    if row["frames"] is not None:
        try:
            first, last = row["frames"]
            found = frame_interval(row["path"], first, last, row["cut_frames"])
        except ClipError as error:
            return probe_failure(row["index"], str(error))
        clipped, is_cut = found.clipped, found.is_cut
        row = {**row, "start": found.start, "end": found.end}
    result = probe(row)
    covered = result.pop("covered", None)
    if covered is not None and row["end"] is not None and covered < row["end"]:
        beyond = (row["end"] - covered) * (result["fps"] or 25.0)
        clipped = clipped or beyond > ROUNDED_FRAMES
        result["end"] = min(result["end"] or covered, covered)
    facts = file_facts(str(row["path"]))
    return {
        **result, "clipped": clipped, "is_cut": is_cut, "file": [facts.version, facts.size, facts.time]
    }  # fmt: skip


def probe_failure(index: int, reason: str) -> dict[str, Any]:
    """The result of a row that cannot be probed."""
    empty = dict.fromkeys(("start", "end", "crop", "frames", "fps", "truncated", "short"))
    none = {"clipped": False, "is_cut": False, "box_scaled": False, "file": None}
    return {"index": index, "reason": reason, **empty, **none}
