"""The shared source of the pipelines: rows of a manifest become decoded frames, on Ray Data.

Nothing here imports the model, so that the processes that decode stay small.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray
from ray.data import Dataset, TaskPoolStrategy

from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError, DecodedClip
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.errors import InputError

Row = dict[str, Any]
Frames = NDArray[np.uint8]
# Small enough that a killed run loses little, large enough that a task is worth its start.
CLIPS_PER_BLOCK = 8
DECODER_CPUS = 0.5
# What a row says of a clip that lacks something.
SHORTCOMINGS = ("truncated", "short")


def source_rows(corpus: Corpus, clips: Sequence[Clip]) -> list[Row]:
    """What a decoding task must know of each clip.

    A path that leaves the corpus folder is left empty, with the reason as `error`.
    """
    rows: list[Row] = []
    for clip in clips:
        row: Row = {
            "video_id": clip.video_id,
            "path": "",
            "start": clip.start,
            "end": clip.end,
            "crop": clip.crop,
            "error": "",
            "truncated": bool(clip.truncated),
            "short": bool(clip.short),
        }
        try:
            row["path"] = corpus.resolve(clip)
        except InputError as error:
            row["path"], row["error"] = clip.path, str(error)
        rows.append(row)
    return rows


def decoded(rows: Sequence[Row], size: int, decoders: int, per_block: int = CLIPS_PER_BLOCK) -> Dataset:
    """A streaming data set of decoded clips.

    Parameters
    ----------
    rows
        From `source_rows`; further fields travel along. A row whose field `decode` is False gets no frames.
    size
        Side of the square frames, the encoder's `config.resize`.
    decoders
        Most tasks that decode at the same time.
    per_block
        Clips that a task decodes, if they are fewer than usual.

    Returns
    -------
    Dataset
        The rows with `pixels` (bytes of uint8 [N, size, size, 3], see `frames_of`), `num_frames` and
        `boundaries` (bytes of `DecodedClip.boundaries` from the clip's start); `truncated` and `short` are
        true where the manifest says so or this decoding finds it. A clip that cannot be decoded has no
        pixels, and its `error` says why.
    """
    blocks = -(-len(rows) // min(per_block, CLIPS_PER_BLOCK))
    source = ray.data.from_items(list(rows), override_num_blocks=blocks)
    return source.map(
        with_frames,
        fn_kwargs={"size": size},
        compute=TaskPoolStrategy(size=max(1, min(decoders, blocks))),
        num_cpus=DECODER_CPUS,
    )


def frames_of(pixels: bytes | memoryview, size: int) -> Frames:
    """Decoded frames, uint8 [N, size, size, 3]: a view of the row's bytes."""
    return np.frombuffer(pixels, dtype=np.uint8).reshape(-1, size, size, 3)


def decode_row(row: Row, size: int) -> tuple[Frames | None, str]:
    """The frames of one row, or the reason why there are none."""
    clip, error = _decode(row, size)
    return None if clip is None else clip.frames, error


def _decode(row: Row, size: int) -> tuple[DecodedClip | None, str]:
    if row["error"]:
        return None, str(row["error"])
    crop = None if row["crop"] is None else [float(edge) for edge in row["crop"]]
    try:
        return decode_isolated(row["path"], start=row["start"], end=row["end"], crop=crop, size=size), ""
    except ClipError as error:
        return None, str(error)
    except Exception as error:  # one clip must not end the run, whatever is wrong with it
        return None, f"{type(error).__name__}: {error}"


def with_frames(row: Row, size: int) -> Row:
    """The row with `pixels`, `num_frames`, `boundaries` and `error`, as `decoded` gives it."""
    clip, error = _decode(row, size) if row.get("decode", True) else (None, str(row["error"]))
    if clip is None:
        return {**row, "error": error, "pixels": b"", "num_frames": 0, "boundaries": b""}
    pixels = np.ascontiguousarray(clip.frames).tobytes()
    boundaries = clip.boundaries(row["start"] or 0.0).tobytes()
    return {
        **row,
        "error": "",
        "pixels": pixels,
        "num_frames": len(clip.frames),
        "boundaries": boundaries,
        "truncated": row["truncated"] or clip.truncated,
        "short": row["short"] or clip.short,
    }
