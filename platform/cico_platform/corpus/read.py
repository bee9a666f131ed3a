"""Reading a corpus: rows of any format, every video probed in parallel, one manifest out."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cico_model.text_cleaning import clean_text, display_text
from cico_platform.corpus.manifest import INFO_FILE, Clip, Corpus, Split, unique_ids, write_manifest
from cico_platform.corpus.parallel import in_parallel
from cico_platform.corpus.probe import probe
from cico_platform.corpus.readers import BadRow, Row, Rows, find_reader
from cico_platform.corpus.readers.folder import video_files
from cico_platform.corpus.readers.rows import locate
from cico_platform.corpus.text import is_single_word, text_id_of
from cico_platform.errors import CicoError, InputError
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute_place, is_remote, place

STAGE = "read"
# Of what is written, and of the frames that decoding gives: a corpus of another one is read again.
EDITION = 2
ISOLATED_SHARE = 0.95
NAMED_ISOLATED_SHARE = 0.5
# A sign with fewer clips than this keeps them all for training.
CLIPS_TO_HOLD_OUT = 5


class ReadSettings(BaseModel):
    """How a corpus is read: the seed of the splits, their shares, and whether signers are looked for."""

    seed: int = 0
    validation_share: float = 0.1
    test_share: float = 0.1
    find_signer: bool = True
    trim: bool = True
    language: str | None = None
    sign_language: str | None = None
    licence: str | None = None


def read_corpus(
    source: str | Place,
    out: str | Place,
    format: str = "auto",  # noqa: A002 - the command line's name
    videos: str | Place | None = None,
    settings: ReadSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Read a corpus of any supported format into a corpus folder.

    Each row is one clip: its video is decoded once, the signer's square and the still head and tail are
    found. Rows that cannot be used go into `quarantine/read.jsonl`; `done + quarantined` is the number of
    rows.

    Parameters
    ----------
    source
        An annotation file or a folder.
    out
        The corpus folder to write.
    format
        A name of `readers.FORMATS`; "auto" asks every reader.
    videos
        The folder that the rows' files are in; by default the source's own folder.
    settings
        See `ReadSettings`.
    on_progress
        Called as videos are probed.

    Raises
    ------
    InputError
        If the source cannot be understood.
    CicoError
        If not one clip can be used.
    """
    settings = settings or ReadSettings()
    source = place(source)
    reader = find_reader(source, format)
    root = place(videos) if videos is not None else source if source.is_dir() else source.parent
    if not root.is_dir():
        raise InputError(f"the videos' folder '{root}' does not exist")
    rows = reader.read(source, root)
    key = content_key(
        edition=EDITION,
        rows=[rows.good, rows.bad],
        source=fingerprint(source) if source.is_file() else "",
        listing=[(str(p), *_seen(p)) for p in video_files(root)],
        format=reader.name,
        settings=settings.model_dump(),
    )
    return run_step(
        out, "corpus-read", key, lambda folder: _read(folder, rows, root, reader.name, settings, on_progress)
    )


def _read(
    folder: Place,
    rows: Rows,
    root: Place,
    name: str,
    settings: ReadSettings,
    on_progress: OnProgress | None,
) -> Summary:
    located, bad = _locate(rows, root)
    probed, failed = _probe(located, settings, on_progress)
    bad += failed
    isolated = _is_isolated([row for row, _, _ in probed], rows.named)
    clips = _clips(probed, isolated, settings)
    quarantine = [{"video_id": "", "path": b.file, "reason": b.reason, "where": b.where} for b in bad]
    reasons = Counter(b.reason for b in bad)
    if not clips:
        common = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        raise CicoError(f"not one of {len(bad)} rows can be used: {common or 'there are no rows'}")
    write_manifest(folder, clips)
    Corpus(folder).quarantine(STAGE, quarantine)
    base = absolute_place(root)
    named = {str(path) for _, path, _ in probed} | {str(base / b.file) for b in bad}
    details: dict[str, Any] = {
        "format": name,
        "isolated": isolated,
        "texts": len({clip.text_id for clip in clips}),
        "splits": dict(Counter(clip.split for clip in clips)),
        "unlisted_files": sum(str(p) not in named for p in video_files(base)),
        "truncated": sum(bool(clip.truncated) for clip in clips),
        "short": sum(bool(clip.short) for clip in clips),
        "reasons": dict(reasons.most_common(10)),
        "notes": dict(rows.notes),
    }
    about = {"name": base.name, "licence": settings.licence, "trim": settings.trim}
    write_json(folder / INFO_FILE, {**about, **details})
    return Summary(len(clips), 0, len(bad), 0.0, details)


def _seen(path: Place) -> tuple[int, float]:
    """Size and time of a file, without following a link."""
    status = path.stat() if is_remote(path) else Path(str(path)).lstat()
    return status.st_size, status.st_mtime


def _locate(rows: Rows, root: Place) -> tuple[list[tuple[Row, Place]], list[BadRow]]:
    located, bad = [], list(rows.bad)
    for row in rows.good:
        try:
            located.append((row, locate(root, row.file)))
        except InputError as error:
            bad.append(BadRow(row.where, row.file, str(error)))
    return located, bad


def _probe(
    located: list[tuple[Row, Place]], settings: ReadSettings, on_progress: OnProgress | None
) -> tuple[list[tuple[Row, Place, dict[str, Any]]], list[BadRow]]:
    """Open every clip in parallel; the results in the rows' order."""
    items = [
        {
            "index": index,
            "path": str(path),
            "start": row.start,
            "end": row.end,
            "pixel_box": list(row.pixel_box) if row.pixel_box else None,
            "crop": list(row.crop) if row.crop else None,
            "find_signer": settings.find_signer,
            "trim": settings.trim,
        }
        for index, (row, path) in enumerate(located)
    ]
    results = {result["index"]: result for result in in_parallel(items, probe, on_progress)}
    good, bad = [], []
    for index, (row, path) in enumerate(located):
        result = results.get(index) or {"reason": "the probe gave no answer"}
        if result["reason"]:
            bad.append(BadRow(row.where, row.file, result["reason"]))
        else:
            good.append((row, path, result))
    return good, bad


def _is_isolated(rows: list[Row], named: bool) -> bool:
    """Whether the texts are names of signs: (nearly) all single words, fewer where a column says so."""
    if not rows:
        return False
    single = sum(is_single_word(clean_text(row.text)) for row in rows) / len(rows)
    return single >= (NAMED_ISOLATED_SHARE if named else ISOLATED_SHARE)


def _clips(
    probed: list[tuple[Row, Place, dict[str, Any]]], isolated: bool, settings: ReadSettings
) -> list[Clip]:
    ids = unique_ids(row.video_id or path.stem for row, path, _ in probed)
    clips = []
    for (row, path, found), video_id in zip(probed, ids, strict=True):
        text = clean_text(row.text)
        label = (clean_text(row.label or "") or text) if isolated else None
        clip = Clip(
            video_id=video_id,
            text_id=text_id_of(text),
            split=row.split or "",  # type: ignore[arg-type]  # filled in below
            path=str(path) if is_remote(path) else str(Path(str(path)).absolute()),
            text=text,
            text_original=display_text(row.text),
            start=found["start"],
            end=found["end"],
            crop=found["crop"],
            label=label,
            language=row.language or settings.language,
            sign_language=row.sign_language or settings.sign_language,
            signer=row.signer,
            licence=row.licence or settings.licence,
            frames=found["frames"],
            fps=found["fps"],
            truncated=found["truncated"],
            short=found["short"],
        )
        clips.append(clip)
    return assign_splits(clips, settings)


def assign_splits(clips: list[Clip], settings: ReadSettings) -> list[Clip]:
    """Give a split to the clips that have none, the same for a seed whatever their order.

    Sentences: all clips of a text share a split, and a text that is already in one stays there. Isolated
    signs: every sign stays in training, and those with several clips give some to the other splits.
    """
    fixed = {clip.text_id: clip.split for clip in clips if clip.split}
    groups: dict[str, list[str]] = {}
    for clip in clips:
        if not clip.split and clip.label is not None:
            groups.setdefault(clip.label, []).append(clip.video_id)
        elif not clip.split and clip.text_id not in fixed:
            groups.setdefault("", []).append(clip.text_id)
    chosen: dict[str, Split] = {}
    for label, names in groups.items():
        if label == "" or len(set(names)) >= CLIPS_TO_HOLD_OUT:
            chosen.update(_shares(sorted(set(names)), settings))
    return [
        clip
        if clip.split
        else replace(clip, split=chosen.get(clip.video_id, "train"))
        if clip.label is not None
        else replace(clip, split=fixed.get(clip.text_id) or chosen.get(clip.text_id, "train"))
        for clip in clips
    ]


def _shares(names: list[str], settings: ReadSettings) -> dict[str, Split]:
    """Shuffle by a seeded hash and cut at the shares."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{settings.seed}/{name}".encode()).digest())
    test = round(len(order) * settings.test_share)
    validation = round(len(order) * settings.validation_share)
    return {
        name: "test" if i < test else "validation" if i < test + validation else "train"
        for i, name in enumerate(order)
    }
