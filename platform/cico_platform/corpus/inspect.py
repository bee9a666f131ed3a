"""Inspecting a corpus: what was understood, what is missing, what is strange, and how the encoder sees it."""

from collections import Counter
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.manifest import MANIFEST_SCHEMA, Clip, Corpus
from cico_platform.corpus.manifest_rows import manifest_rows
from cico_platform.errors import InputError
from cico_platform.storage import Place, place, write_whole

SHEET_FILE = "contact_sheet.png"
SHEET_CLIPS, SHEET_FRAMES, SHEET_SIDE = 24, 8, 112
STRANGEST = 10
COLUMNS = (
    "text_id", "split", "label", "language", "sign_language", "signer", "licence", "crop", "frames", "fps",
    "truncated", "short",
)  # fmt: skip
OPTIONAL = ("language", "sign_language", "signer", "licence", "crop", "frames", "fps")
NONE = "(none)"
Numbers = NDArray[np.float64]


def inspect_corpus(corpus: str | Place, sheet: str | Place | None = None) -> dict[str, Any]:
    """Describe a corpus and draw a contact sheet of its clips.

    Parameters
    ----------
    corpus
        A corpus folder.
    sheet
        The PNG to write; `contact_sheet.png` in the corpus folder by default.

    Returns
    -------
    dict
        JSON-serialisable: `rows, quarantined, isolated, sentences, texts, hours, splits, languages,
        sign_languages, signers, licences, missing, truncated, short, reasons, strangest, contact_sheet`.

    Raises
    ------
    InputError
        If the folder holds no manifest.
    """
    source = Corpus(corpus)
    table, lengths = source.table(COLUMNS), _lengths(source)
    quarantined = source.quarantined()
    picture = place(sheet) if sheet is not None else source.path / SHEET_FILE
    isolated = len(table) - table["label"].null_count
    return {
        "rows": len(table),
        "quarantined": len(quarantined),
        "isolated": isolated,
        "sentences": len(table) - isolated,
        "texts": len(table["text_id"].unique()),
        "hours": round(float(np.nansum(lengths)) / 3600, 4),
        "splits": _counted(table["split"]),
        "languages": _counted(table["language"]),
        "sign_languages": _counted(table["sign_language"]),
        "signers": _counted(table["signer"]),
        "licences": _counted(table["licence"]),
        "missing": {name: count for name in OPTIONAL if (count := table[name].null_count)},
        "truncated": pc.sum(table["truncated"], min_count=0).as_py(),
        "short": pc.sum(table["short"], min_count=0).as_py(),
        "reasons": dict(Counter(str(row["reason"]) for row in quarantined).most_common()),
        "strangest": strangest(source, lengths),
        "contact_sheet": str(picture) if draw_sheet(source, len(table), picture) else None,
    }


def strangest(source: Corpus, lengths: Numbers, count: int = STRANGEST) -> list[dict[str, Any]]:
    """The clips whose length, or whose text for its length, is farthest from the corpus' middle.

    Isolated signs and sentences are judged apart; how far is told in robust deviations of the logarithm.

    Parameters
    ----------
    lengths
        Seconds [N], one a clip, NaN where unknown.
    """
    table = source.table(["label", "text"])
    pace = np.asarray(pc.utf8_length(table["text"]), dtype=np.float64) / lengths
    is_sign = np.asarray(pc.is_valid(table["label"]))
    found: list[tuple[float, int, str]] = []
    for group in (np.flatnonzero(is_sign), np.flatnonzero(~is_sign)):
        group = group[~np.isnan(lengths[group])]
        for name, values, unit in (
            ("length", lengths[group], "s"),
            ("text for its length", pace[group], "characters/s"),
        ):
            apart = _deviations(values)
            for index in np.argsort(-apart, kind="stable")[:count].tolist():
                why = f"{name} {values[index]:.2f} {unit}, {apart[index]:.1f} deviations from the middle"
                found.append((apart[index], int(group[index]), why))
    far = sorted((each for each in found if each[0] > 2), key=lambda each: -each[0])
    first: dict[int, str] = {}
    for _, row, why in far:
        first.setdefault(row, why)
    chosen = list(first.items())[:count]
    rows = manifest_rows(source.path, np.array([row for row, _ in chosen], np.int64), ["video_id", "text"])
    return [
        {"video_id": known["video_id"], "text": known["text"][:80], "why": why}
        for known, (_, why) in zip(rows.to_pylist(), chosen, strict=True)
    ]


def draw_sheet(source: Corpus, count: int, picture: Place) -> bool:
    """Draw some of `count` clips, evenly chosen, as the encoder will see them; whether there was one."""
    numbers = np.unique(np.linspace(0, count - 1, min(count, SHEET_CLIPS)).round().astype(np.int64))
    chosen = manifest_rows(source.path, numbers, MANIFEST_SCHEMA.names)
    clips = (Clip(**known) for known in chosen.to_pylist())
    rows = [row for clip in clips if clip.frames != 0 and (row := _strip(source, clip)) is not None]
    if not rows:
        return False
    if len(rows) > 4:
        rows += [np.zeros_like(rows[0])] * (len(rows) % 2)
        rows = [np.hstack(pair) for pair in zip(rows[::2], rows[1::2], strict=True)]
    buffer = BytesIO()
    Image.fromarray(np.vstack(rows)).save(buffer, "PNG")
    write_whole(picture, buffer.getvalue())
    return True


def _strip(source: Corpus, clip: Clip) -> NDArray[np.uint8] | None:
    try:
        frames = decode_isolated(
            source.resolve(clip), start=clip.start, end=clip.end, crop=clip.crop, size=SHEET_SIDE
        ).frames
    except (ClipError, InputError):
        return None
    chosen = np.linspace(0, len(frames) - 1, SHEET_FRAMES).round().astype(int)
    image = Image.fromarray(np.hstack(frames[chosen]))
    caption = f"{clip.video_id}: {clip.text}"[:120].encode("ascii", "replace").decode()
    ImageDraw.Draw(image).text((4, 2), caption, fill=(255, 255, 0), stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(image)


def _lengths(source: Corpus) -> Numbers:
    """Seconds of each clip [N], NaN where the manifest does not tell."""
    table = source.table(["frames", "fps"])
    frames, fps = (np.asarray(pc.fill_null(table[name].cast("float64"), 0.0)) for name in ("frames", "fps"))
    lengths = np.full(len(table), np.nan)
    np.divide(frames, fps, out=lengths, where=(frames > 0) & (fps > 0))
    return lengths


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    counts = Counter[str]()
    for each in pc.value_counts(column).to_pylist():
        counts[each["values"] or NONE] += each["counts"]
    return dict(counts.most_common())


def _deviations(values: Numbers) -> Numbers:
    """How far each value's logarithm is from the median, in robust deviations; 0 where that means nothing."""
    if len(values) < 3:
        return np.zeros(len(values))
    logarithms = np.log(np.maximum(values, 1e-6))
    middle = np.nanmedian(logarithms)
    spread = max(float(np.nanmedian(np.abs(logarithms - middle))) * 1.4826, 0.05)
    return np.asarray(np.nan_to_num(np.abs(logarithms - middle) / spread), dtype=np.float64)
