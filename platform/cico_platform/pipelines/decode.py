"""The shared source of the pipelines: rows of a manifest become decoded frames.

Nothing here imports the model, so that the processes that decode stay small.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError, DecodedClip
from cico_platform.corpus.manifest import Clip, Corpus, resolve_inside
from cico_platform.corpus.manifest_rows import SOURCE_COLUMNS, manifest_rows
from cico_platform.errors import InputError
from cico_platform.storage import Place, place

Frames = NDArray[np.uint8]
DECODER_CPUS = 0.5
# A clip of a run on its way to the workers: its position among the run's clips, its row in the manifest, and
# where features by each encoder are stored already: a file's number, or -1, and a row of that file.
WAITING_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64()),
        pa.field("row", pa.int64()),
        pa.field("video_id", pa.string()),
        pa.field("clip_key", pa.string()),
        pa.field("stored_files", pa.list_(pa.int32())),
        pa.field("stored_rows", pa.list_(pa.int64())),
    ]
)
DECODED_SCHEMA = pa.schema(
    [
        *(field for field in WAITING_SCHEMA if field.name != "row"),
        pa.field("path", pa.string()),
        pa.field("error", pa.string()),
        pa.field("truncated", pa.bool_()),
        pa.field("short", pa.bool_()),
        pa.field("num_frames", pa.int32()),
        # float64: `DecodedClip.boundaries` from the clip's start.
        pa.field("boundaries", pa.binary()),
        # uint8 [N, size, size, 3], see `frames_of`.
        pa.field("pixels", pa.large_binary()),
    ]
)


@dataclass(frozen=True)
class SourceClip:
    """Input of a decoding task for one clip; `error` is the reason if it cannot be decoded, else empty."""

    video_id: str
    path: str
    start: float | None
    end: float | None
    crop: list[float] | None
    error: str
    truncated: bool
    short: bool


def source_rows(corpus: Corpus, clips: Sequence[Clip]) -> list[SourceClip]:
    """Return the inputs of decoding tasks; a path that leaves the corpus folder is an `error`."""
    return [
        _source(corpus.path, c.video_id, c.path, c.start, c.end, c.crop, bool(c.truncated), bool(c.short))
        for c in clips
    ]


def _source(
    root: Place,
    video_id: str,
    path: str,
    start: float | None,
    end: float | None,
    crop: list[float] | None,
    truncated: bool,
    short: bool,
) -> SourceClip:
    error = ""
    try:
        path = resolve_inside(root, path)
    except InputError as outside:
        error = str(outside)
    return SourceClip(video_id, path, start, end, crop, error, bool(truncated), bool(short))


def decode_block(block: pa.Table, corpus: str, size: int) -> Iterator[pa.Table]:
    """Decode the clips of a block.

    Parameters
    ----------
    block
        Of `WAITING_SCHEMA`. Clips of which every encoder's features are stored get no frames.
    size
        Side of the square frames, the encoder's `config.resize`.

    Yields
    ------
    Table
        Of `DECODED_SCHEMA`, a clip each; `truncated` and `short` are true where the manifest says so or this
        decoding finds it. A clip that cannot be decoded has no pixels, and its `error` says why.

    Raises
    ------
    InputError
        If the manifest is no longer the one that the run began with.
    """
    clips = manifest_rows(corpus, np.asarray(block["row"], dtype=np.int64), SOURCE_COLUMNS)
    if clips["video_id"].to_pylist() != block["video_id"].to_pylist():
        raise InputError(f"the manifest of '{corpus}' changed during this run; run the same command again")
    root = place(corpus)
    for number, row in enumerate(clips.to_pylist()):
        waiting = block.slice(number, 1).drop_columns(["row"])
        stored = waiting["stored_files"][0].as_py() or [-1]
        yield _decoded(waiting, _source(root, **row), size, needed=min(stored) < 0)


def _decoded(waiting: pa.Table, source: SourceClip, size: int, needed: bool) -> pa.Table:
    clip, error = _decode(source, size) if needed else (None, source.error)
    truncated, short = source.truncated, source.short
    pixels, boundaries, count = np.zeros(0, np.uint8), b"", 0
    if clip is not None:
        pixels, count = np.ascontiguousarray(clip.frames).reshape(-1), len(clip.frames)
        boundaries = clip.boundaries(source.start or 0.0).tobytes()
        truncated, short = truncated or clip.truncated, short or clip.short
    columns = {
        **{name: waiting[name] for name in waiting.column_names},
        "path": [source.path],
        "error": [error],
        "truncated": [truncated],
        "short": [short],
        "num_frames": [count],
        "boundaries": [boundaries],
        "pixels": pixel_column([pixels]),
    }
    return pa.table(columns, schema=DECODED_SCHEMA)


def pixel_column(frames: Sequence[Frames]) -> pa.LargeBinaryArray:
    """Return frames as a column of bytes, without a Python object of their size."""
    ends = np.cumsum([0, *(each.size for each in frames)], dtype=np.int64)
    joined = frames[0].reshape(-1) if len(frames) == 1 else np.concatenate([f.reshape(-1) for f in frames])
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(frames), [None, pa.py_buffer(ends), pa.py_buffer(joined)]
    )


def frames_of(pixels: bytes | memoryview, size: int) -> Frames:
    """Decoded frames, uint8 [N, size, size, 3]: a view of the row's bytes."""
    return np.frombuffer(pixels, dtype=np.uint8).reshape(-1, size, size, 3)


def decode_row(source: SourceClip, size: int) -> tuple[Frames | None, str]:
    """The frames of a clip, or the reason why there are none."""
    clip, error = _decode(source, size)
    return None if clip is None else clip.frames, error


def _decode(source: SourceClip, size: int) -> tuple[DecodedClip | None, str]:
    if source.error:
        return None, source.error
    crop = None if source.crop is None else [float(edge) for edge in source.crop]
    try:
        clip = decode_isolated(source.path, start=source.start, end=source.end, crop=crop, size=size)
    except ClipError as error:
        return None, str(error)
    except Exception as error:  # one clip must not end the run, whatever is wrong with it
        return None, f"{type(error).__name__}: {error}"
    return clip, ""
