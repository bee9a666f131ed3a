"""Videos that a corpus names by their YouTube address, under the names that people store them by."""

import re
from urllib.parse import parse_qs, urlsplit

from cico_platform.corpus.media_folder import MediaFolder

SHORT_HOST = "youtu.be"
ID = re.compile(r"[A-Za-z0-9_-]{11}")


def youtube_id(url: str) -> str | None:
    """The id of the video that a YouTube address names.

    >>> youtube_id("www.youtube.com/watch?v=C37R_Ix8-qs&t=1"), youtube_id("https://youtu.be/C37R_Ix8-qs")
    ('C37R_Ix8-qs', 'C37R_Ix8-qs')
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
        named = parse_qs(parts.query).get("v", [""])[0]
    except ValueError:
        return None
    if host != SHORT_HOST and not host.startswith("youtube"):
        return None
    found = named or parts.path.rstrip("/").rsplit("/", 1)[-1]
    return found if ID.fullmatch(found) else None


def find_youtube(media: MediaFolder, url: str) -> str | None:
    """The file of a YouTube video: `ID.mp4`, in the folder or the only one of this name below it."""
    name = youtube_id(url)
    return name and (media.first((name, f"videos/{name}", f"raw_videos/{name}")) or media.anywhere(name))
