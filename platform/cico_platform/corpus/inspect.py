"""Inspecting a corpus: what was understood, what is missing, what is strange, and how the encoder sees it."""

from collections import Counter
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cico_platform.corpus.isolation import decode_isolated
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.errors import InputError
from cico_platform.storage import Place, place, write_whole

SHEET_FILE = "contact_sheet.png"
SHEET_CLIPS, SHEET_FRAMES, SHEET_SIDE = 24, 8, 112
STRANGEST = 10
OPTIONAL = ("language", "sign_language", "signer", "licence", "crop", "frames", "fps")
NONE = "(none)"


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
    clips = source.clips()
    quarantined = source.quarantined()
    picture = place(sheet) if sheet is not None else source.path / SHEET_FILE
    return {
        "rows": len(clips),
        "quarantined": len(quarantined),
        "isolated": sum(clip.label is not None for clip in clips),
        "sentences": sum(clip.label is None for clip in clips),
        "texts": len({clip.text_id for clip in clips}),
        "hours": round(sum(_length(clip) or 0.0 for clip in clips) / 3600, 4),
        "splits": _counted(clips, "split"),
        "languages": _counted(clips, "language"),
        "sign_languages": _counted(clips, "sign_language"),
        "signers": _counted(clips, "signer"),
        "licences": _counted(clips, "licence"),
        "missing": {name: count for name in OPTIONAL if (count := _missing(clips, name))},
        "truncated": sum(bool(clip.truncated) for clip in clips),
        "short": sum(bool(clip.short) for clip in clips),
        "reasons": dict(Counter(str(row["reason"]) for row in quarantined).most_common()),
        "strangest": strangest(clips),
        "contact_sheet": str(picture) if draw_sheet(source, clips, picture) else None,
    }


def strangest(clips: list[Clip], count: int = STRANGEST) -> list[dict[str, Any]]:
    """The clips whose length, or whose text for its length, is farthest from the corpus' middle.

    Isolated signs and sentences are judged apart; how far is told in robust deviations of the logarithm.
    """
    rows: list[dict[str, Any]] = []
    for isolated in (True, False):
        group = [clip for clip in clips if (clip.label is not None) == isolated and clip.frames]
        lengths = np.array([_length(clip) or np.nan for clip in group])
        pace = np.array([len(clip.text) for clip in group]) / lengths
        measured = [("length", lengths, "s"), ("text for its length", pace, "characters/s")]
        for name, values, unit in measured:
            apart = _deviations(values)
            for clip, value, far in zip(group, values, apart, strict=True):
                if far > 2:
                    why = f"{name} {value:.2f} {unit}, {far:.1f} deviations from the middle"
                    rows.append({"video_id": clip.video_id, "text": clip.text[:80], "why": why, "far": far})
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: -row["far"]):
        best.setdefault(row["video_id"], {k: v for k, v in row.items() if k != "far"})
    return list(best.values())[:count]


def draw_sheet(source: Corpus, clips: list[Clip], picture: Place) -> bool:
    """Draw evenly chosen clips as the encoder will see them; whether there was one to draw."""
    chosen = [clips[i] for i in sorted({round(x) for x in np.linspace(0, len(clips) - 1, SHEET_CLIPS)})]
    rows = [row for clip in chosen if clip.frames != 0 and (row := _strip(source, clip)) is not None]
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


def _length(clip: Clip) -> float | None:
    return clip.frames / clip.fps if clip.frames and clip.fps else None


def _counted(clips: list[Clip], name: str) -> dict[str, int]:
    return dict(Counter(str(getattr(clip, name) or NONE) for clip in clips).most_common())


def _missing(clips: list[Clip], name: str) -> int:
    return sum(getattr(clip, name) is None for clip in clips)


def _deviations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each value's logarithm is from the median, in robust deviations; 0 where that means nothing."""
    if len(values) < 3:
        return np.zeros(len(values))
    logarithms = np.log(np.maximum(values, 1e-6))
    middle = np.nanmedian(logarithms)
    spread = max(float(np.nanmedian(np.abs(logarithms - middle))) * 1.4826, 0.05)
    return np.asarray(np.nan_to_num(np.abs(logarithms - middle) / spread), dtype=np.float64)
