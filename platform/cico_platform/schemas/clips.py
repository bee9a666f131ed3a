"""Clips: a row of the manifest, and the row of a clip that a pipeline works through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("text_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start", pa.float64()),
        pa.field("end", pa.float64()),
        pa.field("crop", pa.list_(pa.float64())),
        pa.field("text", pa.string(), nullable=False),
        pa.field("text_original", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("language", pa.string()),
        pa.field("sign_language", pa.string()),
        pa.field("signer", pa.string()),
        pa.field("participants", pa.list_(pa.string())),
        pa.field("licence", pa.string()),
        pa.field("frames", pa.int64()),
        pa.field("fps", pa.float64()),
        pa.field("truncated", pa.bool_()),
        pa.field("short", pa.bool_()),
    ]
)
LATER_COLUMNS = ("participants", "truncated", "short")
# What a clip's key was made from when the corpus was read (`corpus.clip_keys`); null where it was not.
KEY_FIELDS = (
    pa.field("clip_key", pa.string()),
    pa.field("file_version", pa.string()),
    pa.field("file_size", pa.int64()),
    # Modification time in nanoseconds.
    pa.field("file_time", pa.int64()),
)


@dataclass(frozen=True)
class Clip:
    """One clip: which frames of which file, what they say, and who signs under which licence.

    `start` and `end` are seconds on the clock that a player of the file shows, `crop` is `[x0, y0, x1, y1]`
    in fractions of the upright frame. `signer` is who signs it, `participants` all people whom it shows.
    `label` names the sign of an isolated clip; `None` is a sentence. `text` is clean (`clean_text`),
    `text_original` is as written (`display_text`). Clips of one sentence share `text_id`. `path` is
    relative to the corpus folder, absolute, or a URL. `fps` is measured: frames over time. `truncated` says
    that the file breaks off within the clip, `short` that its frames do not cover its interval.
    """

    video_id: str
    text_id: str
    split: Split
    path: str
    text: str
    text_original: str
    start: float | None = None
    end: float | None = None
    crop: list[float] | None = None
    label: str | None = None
    language: str | None = None
    sign_language: str | None = None
    signer: str | None = None
    participants: list[str] | None = None
    licence: str | None = None
    frames: int | None = None
    fps: float | None = None
    truncated: bool | None = None
    short: bool | None = None

    @property
    def people(self) -> list[str]:
        """All people whom the clip shows, as far as the corpus names them."""
        return people_of(self.signer, self.participants)


def people_of(signer: str | None, participants: Sequence[str] | None) -> list[str]:
    """Return the distinct names among a signer and further participants."""
    return list(dict.fromkeys(name for name in (signer, *(participants or ())) if name))
