"""Subtitles beside videos (WebVTT, SubRip): one clip a cue."""

from pathlib import Path, PurePosixPath

from cico_platform.corpus.isolation import clock_start_isolated
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.media_files import files_with_suffix
from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.cues import SHORTEST, read_cues
from cico_platform.corpus.readers.encodings import decode
from cico_platform.corpus.readers.rows import Rows, read_bytes
from cico_platform.corpus.readers.subtitle_names import find_video, parse_name
from cico_platform.corpus.readers.webvtt_headers import clock_difference
from cico_platform.corpus.readers.webvtt_repair import TIMESTAMP_MAP
from cico_platform.errors import InputError
from cico_platform.storage import Place, relative

NAME = "subtitles"
SUFFIXES = (".vtt", ".srt")
MAPPED = "file with X-TIMESTAMP-MAP: its times were moved to the player's clock"


def sniff(source: Place) -> bool:
    """Whether the source is a subtitle file, or a folder that holds one."""
    if source.is_file():
        return source.suffix.lower() in SUFFIXES
    return source.is_dir() and any(True for _ in files_with_suffix(source, SUFFIXES))


def subtitle_files(source: Place) -> list[Place]:
    """The subtitle files under a folder, or the file itself."""
    return [source] if source.is_file() else list(files_with_suffix(source, SUFFIXES))


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row a cue; the video has the subtitle file's name (`talk.en.vtt` also belongs to `talk.mp4`).

    See `subtitle_names`.

    Raises
    ------
    InputError
        If there is no subtitle file, or not one cue.
    """
    base = source if source.is_dir() else source.parent
    media = MediaFolder(videos or base)
    rows = Rows()
    files = subtitle_files(source)
    if not files:
        raise InputError(f"'{source}' holds no subtitles ({', '.join(SUFFIXES)})")
    for path in files:
        rows.read_from(path)
        stem = str(PurePosixPath(relative(path, base)).with_suffix(""))
        file, note = find_video(media, stem)
        name = parse_name(stem)
        before = len(rows)
        _cues(rows, path, media.root, file or f"{name.names[-1]}.mp4", name.language)
        if note:
            rows.notes[note] += len(rows) - before
    if not rows.good and not rows.bad:
        raise InputError(f"'{source}' holds no cue")
    return rows


def _cues(rows: Rows, path: Place, root: Place, file: str, language: str | None) -> None:
    """Add a row for each cue of a file."""
    decoded = decode(read_bytes(path), language)
    if decoded.guessed:
        rows.notes[f"file that is not UTF-8: its encoding was guessed to be {decoded.guessed}"] += 1
    found = read_cues(decoded.text, named_webvtt=path.suffix.lower() == ".vtt")
    shift = _shift(found.origin, root / file)
    if found.origin is not None:
        rows.notes[TIMESTAMP_MAP if shift is None else MAPPED] += 1
    rows.notes += found.notes
    for line in found.broken:
        rows.refuse(f"{path.name}:{line}", file, "the cue's times cannot be read")
    for cue in found.cues:
        where, length = f"{path.name}:{cue.line}", round(1000 * (cue.end - cue.start))
        if cue.text and 0 < length <= 1000 * SHORTEST:
            reason = f"the cue lasts {length} ms: too short for a sign"
            rows.refuse(where, file, reason)
            continue
        rows.add(
            where,
            file,
            cue.text,
            video_id=f"{Path(file).stem}-{cue.number:04d}",
            start=round(cue.start + (shift or 0.0), 6),
            end=round(cue.end + (shift or 0.0), 6),
            language=language,
        )


def _shift(origin: float | None, video: Place) -> float | None:
    """Seconds from the clock of the cues to the player's; None where the video does not tell."""
    if origin is None:
        return None
    try:
        start = clock_start_isolated(str(video))
    except ClipError:  # the rows will say what is wrong with the video
        return None
    return None if start is None else clock_difference(origin, start)
