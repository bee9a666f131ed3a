"""Probing one clip: whether it can be decoded, how long it is, where its signer is and when she signs."""

from dataclasses import asdict
from typing import Any

from cico_platform.corpus.framing import FramingSettings, frame_clip
from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.signer_box import SEARCH_SIDE


def probe(row: dict[str, Any]) -> dict[str, Any]:
    """Decode a clip once, small, and describe it.

    Parameters
    ----------
    row
        `{"index", "path", "start", "end", "pixel_box", "crop", "find_signer", "trim"}`.

    Returns
    -------
    dict
        `{"index", "reason", "start", "end", "crop", "frames", "fps", "truncated", "short",
        "covered"}`; `reason` is empty for a usable clip, `covered` is the time at which its last frame ends.
    """
    empty = {"index": row["index"], **dict.fromkeys(("start", "end", "crop", "frames", "fps", "truncated"))}
    empty["short"] = empty["covered"] = None
    try:
        return {**empty, "reason": "", **_describe(row)}
    except ClipError as error:
        return {**empty, "reason": str(error)}
    except Exception as error:  # a clip that breaks a library costs itself, not the run
        return {**empty, "reason": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}


def _describe(row: dict[str, Any]) -> dict[str, Any]:
    clip = decode_isolated(row["path"], start=row["start"], end=row["end"], longest=SEARCH_SIDE)
    crop = row["crop"] if row["pixel_box"] is None else _fractions(row["pixel_box"], clip.stored_size)
    settings = FramingSettings("signer" if row["find_signer"] else "whole", row["trim"])
    framing = frame_clip(clip, settings, start=row["start"], end=row["end"], crop=crop)
    facts = {"fps": clip.fps, "truncated": clip.truncated, "short": clip.short, "covered": clip.end}
    return {**asdict(framing), **facts}


def _fractions(box: list[float], size: tuple[int, int]) -> list[float]:
    """A box in pixels as fractions of the frame.

    Raises
    ------
    ClipError
        If it lies outside the frame.
    """
    width, height = size
    x0, x1 = (min(max(v / width, 0.0), 1.0) for v in (box[0], box[2]))
    y0, y1 = (min(max(v / height, 0.0), 1.0) for v in (box[1], box[3]))
    if x1 <= x0 or y1 <= y0:
        raise ClipError(f"the signer's box {box} lies outside the frame of {width} x {height}")
    return [round(v, 5) for v in (x0, y0, x1, y1)]
