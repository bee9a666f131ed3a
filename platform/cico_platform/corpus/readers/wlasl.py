"""WLASL, as it is published (`WLASL_v0.3.json`): signs, each with its instances in videos.

`frame_start` and `frame_end` count from 1, both belong to the sign, and an end of -1 is the video's end;
`bbox` is `[x0, y0, x1, y1]` in pixels.
"""

from collections.abc import Iterator
from typing import Any

from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.columns import unused_columns
from cico_platform.corpus.readers.json_lists import NO_BOX, holds_entries, load_list, numbers, text_of
from cico_platform.corpus.readers.rows import Rows
from cico_platform.corpus.readers.youtube import find_youtube, youtube_id
from cico_platform.errors import InputError
from cico_platform.storage import Place

NAME = "wlasl"
KEYS = frozenset(("gloss", "instances"))
USED = frozenset(("video_id", "frame_start", "frame_end", "bbox", "signer_id", "split", "url"))


def sniff(source: Place) -> bool:
    """Whether the source is a JSON list of objects with `gloss` and `instances`."""
    return holds_entries(source, KEYS)


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row an instance, by its frames in the video.

    The video is `VIDEO_ID.mp4`, else the one that has the name of the address' YouTube id. WLASL's own script
    stores the clip alone as `VIDEO_ID.mp4`: a file that has as many frames as the instance is taken whole.

    Raises
    ------
    InputError
        If the file is no list of such objects.
    """
    entries = load_list(source)
    if not holds_entries(source, KEYS):
        raise InputError(f"the objects of '{source}' have not WLASL's keys 'gloss' and 'instances'")
    media = MediaFolder(videos or source.parent)
    instances = [one for _, _, one in _instances(entries, source.name) if isinstance(one, dict)]
    rows = Rows(named=True, unused_columns=unused_columns(instances, USED))
    rows.read_from(source)
    for where, gloss, instance in _instances(entries, source.name):
        _add(rows, where, gloss, instance, media)
    return rows


def _instances(entries: list[Any], name: str) -> Iterator[tuple[str, str, Any]]:
    """Each instance with its place in the file and its sign; what is none is None."""
    for number, entry in enumerate(entries):
        where = f"{name}[{number}]"
        listed = entry.get("instances") if isinstance(entry, dict) else None
        if not isinstance(listed, list):
            yield where, "", None
            continue
        for index, instance in enumerate(listed):
            yield f"{where}.instances[{index}]", text_of(entry.get("gloss")), instance


def _add(rows: Rows, where: str, gloss: str, instance: Any, media: MediaFolder) -> None:
    if not isinstance(instance, dict):
        rows.refuse(where, "", "not a JSON object with its instances")
        return
    video_id, url = text_of(instance.get("video_id")), text_of(instance.get("url"))
    own = media.first((video_id, f"videos/{video_id}", f"raw_videos/{video_id}")) if video_id else None
    file = own or find_youtube(media, url)
    first, last = instance.get("frame_start", 1), instance.get("frame_end", -1)
    if any(isinstance(v, bool) or not isinstance(v, int) for v in (first, last)):
        rows.refuse(where, file or video_id, "frame_start or frame_end is not a whole number")
        return
    frames = (max(first - 1, 0), None if last < 1 else last)
    whole = frames == (0, None)
    box = numbers(instance.get("bbox"), 4)
    if instance.get("bbox") is not None and (box is None or box[0] >= box[2] or box[1] >= box[3]):
        rows.notes[NO_BOX] += 1
        box = None
    signer = instance.get("signer_id")
    rows.add(
        where,
        file or f"{video_id}.mp4",
        gloss,
        video_id=video_id,
        label=gloss,
        split=text_of(instance.get("split")),
        frames=None if whole else frames,
        cut_frames=frames[1] - frames[0] if own and youtube_id(url) and frames[1] is not None else None,
        pixel_box=None if box is None else tuple(box),
        signer=None if signer is None or signer == -1 else str(signer),
        language="en",
        sign_language="ase",
    )
