"""Subtitles beside videos (WebVTT, SubRip): one clip a cue."""

import re
from pathlib import Path, PurePosixPath

from cico_platform.corpus.readers.cues import SHORTEST, read_cues
from cico_platform.corpus.readers.encodings import decode
from cico_platform.corpus.readers.rows import BadRow, Rows, find_first, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place, relative

NAME = "subtitles"
SUFFIXES = (".vtt", ".srt")


def sniff(source: Place) -> bool:
    """Whether the source is a subtitle file, or a folder that holds one."""
    return (source.is_file() and source.suffix.lower() in SUFFIXES) or bool(
        source.is_dir() and subtitle_files(source)
    )


def subtitle_files(source: Place) -> list[Place]:
    """The subtitle files under a folder, or the file itself."""
    if source.is_file():
        return [source]
    return sorted(
        (path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()), key=str
    )


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a cue; the video has the subtitle file's name (`talk.en.vtt` also belongs to `talk.mp4`).

    Raises
    ------
    InputError
        If there is no subtitle file, or not one cue.
    """
    base = source if source.is_dir() else source.parent
    root = videos or base
    rows = Rows()
    files = subtitle_files(source)
    if not files:
        raise InputError(f"'{source}' holds no subtitles ({', '.join(SUFFIXES)})")
    for path in files:
        stem = PurePosixPath(relative(path, base)).with_suffix("")
        parts = stem.name.split(".")
        short = stem.with_name(".".join(parts[:-1])) if len(parts) > 1 else stem
        file = find_first(root, (str(stem), str(short))) or f"{stem}.mp4"
        language = parts[-1] if len(parts) > 1 and re.fullmatch(r"[A-Za-z]{2,3}(-\w+)?", parts[-1]) else None
        _cues(rows, path, file, language)
    if not rows.good and not rows.bad:
        raise InputError(f"'{source}' holds no cue")
    return rows


def _cues(rows: Rows, path: Place, file: str, language: str | None) -> None:
    """Add a row for each cue of a file."""
    decoded = decode(read_bytes(path), language)
    if decoded.guessed:
        rows.notes[f"file that is not UTF-8: its encoding was guessed to be {decoded.guessed}"] += 1
    found = read_cues(decoded.text, named_webvtt=path.suffix.lower() == ".vtt")
    rows.notes += found.notes
    for line in found.broken:
        rows.bad.append(BadRow(f"{path.name}:{line}", file, "the cue's times cannot be read"))
    for cue in found.cues:
        where, length = f"{path.name}:{cue.line}", round(1000 * (cue.end - cue.start))
        if cue.text and 0 < length <= 1000 * SHORTEST:
            reason = f"the cue lasts {length} ms: too short for a sign"
            rows.bad.append(BadRow(where, file, reason))
            continue
        rows.add(
            where,
            file,
            cue.text,
            video_id=f"{Path(file).stem}-{cue.number:04d}",
            start=cue.start,
            end=cue.end,
            language=language,
        )
