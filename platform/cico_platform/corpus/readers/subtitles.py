"""Subtitles beside videos (WebVTT, SubRip): one clip a cue."""

import re
from pathlib import Path, PurePosixPath

from cico_platform.corpus.media_files import files_with_suffix
from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.rows import Rows, decode_text, read_bytes
from cico_platform.corpus.readers.subtitle_names import find_video, parse_name
from cico_platform.errors import InputError
from cico_platform.storage import Place, relative

NAME = "subtitles"
SUFFIXES = (".vtt", ".srt")
TIME = r"(?:\d+:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
TIMING = re.compile(rf"^\s*({TIME})\s*-->\s*({TIME})(?:\s.*)?$")
TAGS = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


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
        _cues(rows, path, file or f"{name.names[-1]}.mp4", name.language)
        if note:
            rows.notes[note] += len(rows) - before
    if not rows.good and not rows.bad:
        raise InputError(f"'{source}' holds no cue")
    return rows


def _cues(rows: Rows, path: Place, file: str, language: str | None) -> None:
    lines = re.split(r"\r\n|\n|\r", decode_text(read_bytes(path)))
    starts = [(i, m) for i, line in enumerate(lines) if (m := TIMING.match(line))]
    for i, line in enumerate(lines):
        if "-->" in line and not TIMING.match(line):
            rows.refuse(f"{path.name}:{i + 1}", file, "the cue's times cannot be read")
    for number, (index, match) in enumerate(starts):
        text = []
        for line in lines[index + 1 :]:
            if not line.strip() or "-->" in line:
                break
            text.append(line)
        rows.add(
            f"{path.name}:{index + 1}",
            file,
            TAGS.sub("", "\n".join(text)),
            video_id=f"{Path(file).stem}-{number + 1:04d}",
            start=match[1],
            end=match[2],
            language=language,
        )
