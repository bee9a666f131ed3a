"""Reading a corpus: rows of any format, every video probed in parallel, one manifest out."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cico_model.text_cleaning import clean_text, display_text
from cico_platform.corpus.clip_keys import FileFacts, key_columns
from cico_platform.corpus.manifest import INFO_FILE, Clip, Corpus, unique_ids, write_manifest
from cico_platform.corpus.parallel import in_parallel
from cico_platform.corpus.readers import BadRow, Row, elan
from cico_platform.corpus.row_probe import probe_failure, probe_row
from cico_platform.corpus.source_rows import SourceRows, read_rows
from cico_platform.corpus.splits import assign_splits
from cico_platform.corpus.text import is_single_word, text_id_of
from cico_platform.errors import CicoError
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, absolute_place, is_remote, place, write_whole

STAGE = "read"
NOT_READ_FILE, NOTES_FILE = "not_read.txt", "notes.jsonl"
NAMED_FILES = 100
# Up to so many clips are probed in this process.
FEW_CLIPS = 12
ISOLATED_SHARE = 0.95
NAMED_ISOLATED_SHARE = 0.5
CLIPPED = "the interval leaves the video and was cut to it"
SCALED = "the signer's box was measured in frames of another size: it was scaled to the video's"
CUT = "the file holds the sign alone: its frames are not counted in the whole video"


class ReadSettings(BaseModel):
    """How a corpus is read.

    The seed of the splits, their shares, whether signers are looked for, what the texts and videos are where
    the corpus does not say, and which tiers and media files of ELAN documents are taken.
    """

    seed: int = 0
    validation_share: float = 0.1
    test_share: float = 0.1
    find_signer: bool = True
    trim: bool = True
    language: str | None = None
    sign_language: str | None = None
    licence: str | None = None
    tiers: tuple[str, ...] = ()
    media: tuple[str, ...] = ()


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
    rows. Media and annotation files that no row uses are counted, and named in `not_read.txt`. What was
    changed in a row (an interval that leaves the video) is in `notes.jsonl`.

    Nothing is read again unless a row, a setting or a file of the folders has changed, appeared or gone.

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
    choice = elan.Choice(settings.tiers, settings.media)
    found = read_rows(source, format, videos, choice, place(out))
    key = content_key(
        rows=[found.rows.good, found.rows.bad],
        source=fingerprint(source) if source.is_file() else "",
        files=found.versions,
        not_read=found.left.names,
        format=list(found.readers),
        settings=settings.model_dump(),
    )
    reading = _Reading(found, settings)
    return run_step(out, "corpus-read", key, lambda folder: reading.run(folder, on_progress))


class _Reading:
    """One run: what was found, and the steps from there to the corpus folder."""

    def __init__(self, found: SourceRows, settings: ReadSettings) -> None:
        self.rows, self.located, self.bad = found.rows, found.located, list(found.bad)
        self.counts, self.root, self.left, self.settings = found.readers, found.root, found.left, settings

    def run(self, folder: Place, on_progress: OnProgress | None) -> Summary:
        """Probe every clip, and write the manifest, the quarantine and what was left out."""
        results = _probe(self.located, self.settings, on_progress)
        ids = self._ids()
        probed = []
        for (row, path), result in zip(self.located, results, strict=True):
            if result["reason"]:
                self.bad.append(BadRow(row.where, row.file, result["reason"], row.number))
            else:
                probed.append((row, path, result))
        bad = sorted(self.bad, key=lambda row: row.number)
        reasons = Counter(b.reason for b in bad)
        if not probed:
            common = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
            raise CicoError(f"not one of {len(bad)} rows can be used: {common or 'there are no rows'}")
        isolated = _is_isolated([row for row, _, _ in probed], self.rows.named)
        clips = _clips(probed, ids, isolated, self.settings)
        facts = [FileFacts(*result["file"]) if result["file"] else None for _, _, result in probed]
        write_manifest(folder, clips, key_columns(clips, facts))
        Corpus(folder).quarantine(
            STAGE,
            (
                {"video_id": ids.get(b.number, ""), "path": b.file, "reason": b.reason, "where": b.where}
                for b in bad
            ),
        )
        notes = self._write_notes(folder, probed, ids)
        return self._summary(folder, clips, isolated, reasons, notes)

    def _ids(self) -> dict[int, str]:
        """Each row's clip id: rows that cannot be used count, so that no other row's id depends on them."""
        named = [(b.number, Path(b.file).stem) for b in self.rows.bad if b.file]
        found = {row.number: path.stem for row, path in self.located}
        named += [(r.number, r.video_id or found.get(r.number, Path(r.file).stem)) for r in self.rows.good]
        named.sort()
        return dict(zip((n for n, _ in named), unique_ids(name for _, name in named), strict=True))

    def _write_notes(
        self, folder: Place, probed: list[tuple[Row, Place, dict[str, Any]]], ids: dict[int, str]
    ) -> Counter[str]:
        """Name what no row uses and what was changed in rows, in files; return how often what was changed."""
        notes: Counter[str] = Counter(self.rows.notes)
        lines = []
        for row, _, result in probed:
            changes = {
                CLIPPED: row.clipped or result["clipped"],
                CUT: result["is_cut"],
                SCALED: result["box_scaled"],
            }
            for note, applies in changes.items():
                if applies:
                    notes[note] += 1
                    about = {"video_id": ids[row.number], "path": row.file, "where": row.where, "note": note}
                    lines.append(about)
        _write_lines(folder / NOTES_FILE, [json.dumps(line, ensure_ascii=False) for line in lines])
        _write_lines(folder / NOT_READ_FILE, self.left.names)
        return notes

    def _summary(
        self, folder: Place, clips: list[Clip], isolated: bool, reasons: Counter[str], notes: Counter[str]
    ) -> Summary:
        details: dict[str, Any] = {
            "format": ", ".join(self.counts),
            "readers": self.counts,
            "isolated": isolated,
            "texts": len({clip.text_id for clip in clips}),
            "splits": dict(Counter(clip.split for clip in clips)),
            "languages": dict(Counter(clip.language for clip in clips if clip.language)),
            "unlisted_files": self.left.videos,
            "not_read": self.left.count,
            "not_read_files": self.left.names[:NAMED_FILES],
            "clipped": notes[CLIPPED],
            "truncated": sum(bool(clip.truncated) for clip in clips),
            "short": sum(bool(clip.short) for clip in clips),
            "notes": {note: count for note, count in notes.most_common() if count},
            "unused_columns": self.rows.unused_columns,
            "tiers": dict(self.rows.tiers),
            "reasons": dict(reasons.most_common(10)),
        }
        info = {k: v for k, v in details.items() if k != "not_read_files"}
        name = absolute_place(self.root).name
        about = {"name": name, "licence": self.settings.licence, "trim": self.settings.trim}
        write_json(folder / INFO_FILE, {**about, **info})
        return Summary(len(clips), 0, sum(reasons.values()), 0.0, details)


def _write_lines(path: Place, lines: list[str]) -> None:
    content = "".join(line.replace("\n", " ") + "\n" for line in lines)
    write_whole(path, content.encode("utf-8", "surrogateescape"))


def _probe(
    located: list[tuple[Row, Place]], settings: ReadSettings, on_progress: OnProgress | None
) -> list[dict[str, Any]]:
    """Open every clip in parallel; the results in the rows' order."""
    items = [
        {
            "index": index,
            "path": str(path),
            "start": row.start,
            "end": row.end,
            "frames": None if row.frames is None else list(row.frames),
            "cut_frames": row.cut_frames,
            "pixel_box": list(row.pixel_box) if row.pixel_box else None,
            "box_scale": row.box_scale,
            "crop": list(row.crop) if row.crop else None,
            "cut_if_square": row.cut_if_square,
            "find_signer": settings.find_signer,
            "trim": settings.trim,
        }
        for index, (row, path) in enumerate(located)
    ]
    results = {result["index"]: result for result in in_parallel(items, probe_row, on_progress, FEW_CLIPS)}
    lost = "the probe gave no answer"
    return [results.get(index) or probe_failure(index, lost) for index in range(len(located))]


def _is_isolated(rows: list[Row], named: bool) -> bool:
    """Whether the texts are names of signs: (nearly) all single words, fewer where a column says so."""
    if not rows:
        return False
    single = sum(is_single_word(clean_text(row.text)) for row in rows) / len(rows)
    return single >= (NAMED_ISOLATED_SHARE if named else ISOLATED_SHARE)


def _clips(
    probed: list[tuple[Row, Place, dict[str, Any]]],
    ids: dict[int, str],
    isolated: bool,
    settings: ReadSettings,
) -> list[Clip]:
    clips = []
    for row, path, found in probed:
        text = clean_text(row.text)
        label = (clean_text(row.label or "") or text) if isolated else None
        shown = row.participants or ((row.signer,) if row.signer else ())
        clip = Clip(
            video_id=ids[row.number],
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
            participants=list(shown) or None,
            licence=row.licence or settings.licence,
            frames=found["frames"],
            fps=found["fps"],
            truncated=found["truncated"],
            short=found["short"],
        )
        clips.append(clip)
    given = [
        None if row.start is None and row.frames is None else (str(path), row.start, row.end, row.frames)
        for row, path, _ in probed
    ]
    return assign_splits(clips, settings, given)
