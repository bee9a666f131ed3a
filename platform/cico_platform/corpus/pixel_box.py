"""Signers' boxes in pixels, which hold for frames of the size that they were measured in."""

from dataclasses import dataclass

from cico_platform.corpus.limits import ClipError

# A box may reach over the frame by rounding: by so many pixels, or by so much of the frame.
ROUNDED_PIXELS, ROUNDED_SHARE = 2.0, 0.02
SAME_ASPECT = 0.02


@dataclass(frozen=True)
class BoxScale:
    """The size of the frames in which the boxes of a corpus were measured, as far as it is known.

    Attributes
    ----------
    reach
        The largest x and y of all boxes: the frames are no smaller.
    frame
        Width and height of the published frames; None if they differ, or the corpus does not say.
    """

    reach: tuple[float, float]
    frame: tuple[int, int] | None = None


def box_fractions(
    box: tuple[float, float, float, float], size: tuple[int, int], scale: BoxScale | None = None
) -> tuple[list[float], bool]:
    """A box in fractions of the frame, and whether it was scaled from frames of another size.

    Parameters
    ----------
    box
        `(x0, y0, x1, y1)` in pixels.
    size
        Width and height of the video's frames in the pixels that the file stores.

    Raises
    ------
    ClipError
        If the box lies outside the frame, or reaches out of it and the size it was measured in is not known.
    """
    measured = _measured_in(box, size, scale)
    if measured is None:
        shown = ", ".join(f"{value:g}" for value in box)
        raise ClipError(
            f"the signer's box ({shown}) leaves the frame of {size[0]} x {size[1]}:"
            " it was measured in frames of another size"
        )
    width, height = measured
    x0, x1 = (min(max(v / width, 0.0), 1.0) for v in (box[0], box[2]))
    y0, y1 = (min(max(v / height, 0.0), 1.0) for v in (box[1], box[3]))
    if x1 <= x0 or y1 <= y0:
        raise ClipError(f"the signer's box {list(box)} lies outside the frame of {width} x {height}")
    return [round(v, 5) for v in (x0, y0, x1, y1)], measured != size


def _measured_in(
    box: tuple[float, float, float, float], size: tuple[int, int], scale: BoxScale | None
) -> tuple[int, int] | None:
    """The size of the frames that a box was measured in: the video's, the published one, or None."""
    reach = scale.reach if scale else (box[2], box[3])
    fits = _inside(box, size) and _inside((0.0, 0.0, *reach), size)
    published = scale.frame if scale else None
    if published is None or published == size:
        return size if fits else None
    alike = abs(size[0] * published[1] / (size[1] * published[0]) - 1) <= SAME_ASPECT
    if alike and _inside((0.0, 0.0, *reach), published) and (not fits or size > published):
        return published
    return size if fits else None


def _inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    across, up = (max(ROUNDED_PIXELS, ROUNDED_SHARE * side) for side in size)
    return box[0] >= -across and box[1] >= -up and box[2] <= size[0] + across and box[3] <= size[1] + up
