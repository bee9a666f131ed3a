"""Probing one clip: whether it can be decoded, how long it is, where its signer is and when she signs."""

from dataclasses import asdict
from typing import Any

from cico_platform.corpus.framing import WHOLE_FRAME, FramingSettings, frame_clip
from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.pixel_box import box_fractions
from cico_platform.corpus.signer_box import SEARCH_SIDE


def probe(row: dict[str, Any]) -> dict[str, Any]:
    """Decode a clip once, small, and describe it.

    Parameters
    ----------
    row
        `{"index", "path", "start", "end", "pixel_box", "crop", "find_signer", "trim"}`, `box_scale` where it
        is known, and `cut_if_square` where a square video has been cut to the box already.

    Returns
    -------
    dict
        `{"index", "reason", "start", "end", "crop", "frames", "fps", "truncated", "short", "covered",
        "box_scaled"}`; `reason` is empty for a usable clip, `covered` is the time at which its last frame
        ends, `box_scaled` tells that its box was measured in frames of another size.
    """
    empty = {"index": row["index"], **dict.fromkeys(("start", "end", "crop", "frames", "fps", "truncated"))}
    empty["short"] = empty["covered"] = empty["box_scaled"] = None
    try:
        return {**empty, "reason": "", **_describe(row)}
    except ClipError as error:
        return {**empty, "reason": str(error)}
    except Exception as error:  # a clip that breaks a library costs itself, not the run
        return {**empty, "reason": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}


def _describe(row: dict[str, Any]) -> dict[str, Any]:
    clip = decode_isolated(row["path"], start=row["start"], end=row["end"], longest=SEARCH_SIDE)
    crop, box_scaled = row["crop"], False
    width, height = clip.stored_size
    if row.get("cut_if_square") and width == height:
        crop = list(WHOLE_FRAME)
    elif row["pixel_box"] is not None:
        x0, y0, x1, y1 = row["pixel_box"]
        crop, box_scaled = box_fractions((x0, y0, x1, y1), clip.stored_size, row.get("box_scale"))
    settings = FramingSettings("signer" if row["find_signer"] else "whole", row["trim"])
    framing = frame_clip(clip, settings, start=row["start"], end=row["end"], crop=crop)
    facts = {"fps": clip.fps, "truncated": clip.truncated, "short": clip.short, "covered": clip.end}
    return {**asdict(framing), **facts, "box_scaled": box_scaled}
