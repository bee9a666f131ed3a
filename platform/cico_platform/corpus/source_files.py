"""List the files of a corpus' folders, to notice changes and to name the files that no row uses."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cico_platform.corpus.media_files import (
    ANNOTATION_SUFFIXES,
    MAYBE_ANNOTATION_SUFFIXES,
    OTHER_VIDEO_SUFFIXES,
    VIDEO_SUFFIXES,
    is_image,
    walk,
)
from cico_platform.corpus.readers import recognised
from cico_platform.storage import Place, absolute, inside, is_remote, remote_version

# Files that are annotations only if a reader recognises them: so many are opened, none larger than this.
MOST_OPENED, LARGEST_OPENED = 200, 64 << 20
LINK = "a link that leads out of the folder: it is not followed"


@dataclass
class _Images:
    """The images of one folder: how many, and a hash of their names and versions."""

    count: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


@dataclass
class Listing:
    """The media and annotation files under a folder, hidden ones left out.

    Attributes
    ----------
    videos
        Each video's relative path and version.
    images
        Each folder of images (relative path) with their number and a hash of their names and versions.
    annotations
        Relative paths of files that are annotations by their suffixes.
    others
        Relative paths of files that may be annotations.
    unknown
        Relative paths of media that the decoder does not take, and of links to folders elsewhere.
    """

    videos: dict[str, str] = field(default_factory=dict)
    images: dict[str, tuple[int, str]] = field(default_factory=dict)
    annotations: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NotRead:
    """Files that look like media or annotations and that no row uses.

    `names` has a name for each, and one for each folder of images, which tells how many they are. `videos`
    counts the videos alone.
    """

    videos: int
    names: list[str]

    @property
    def count(self) -> int:
        """How many files and folders of images these are."""
        return len(self.names)


def list_files(folder: Place, skip: str | None = None) -> Listing:
    """List a folder; `skip` is the absolute path of a folder that is left out."""
    listing, images = Listing(), dict[str, _Images]()
    for found in walk(folder, skip):
        if found.suffix in VIDEO_SUFFIXES:
            listing.videos[found.path] = found.version
        elif is_image(found):
            parent = str(PurePosixPath(found.path).parent)
            here = images.setdefault(parent, _Images())
            here.count += 1
            here.digest.update(f"{found.path}\0{found.version}\0".encode("utf-8", "surrogateescape"))
        elif found.suffix in ANNOTATION_SUFFIXES:
            listing.annotations.append(found.path)
        elif found.suffix in MAYBE_ANNOTATION_SUFFIXES:
            listing.others.append(found.path)
        elif found.suffix in OTHER_VIDEO_SUFFIXES:
            listing.unknown.append(found.path)
        elif found.is_folder and inside(folder, found.path) is None:
            listing.unknown.append(f"{found.path}/ ({LINK})")
    listing.images = {path: (one.count, one.digest.hexdigest()) for path, one in images.items()}
    return listing


def not_read(folder: Place, listing: Listing, used: set[str], sources: set[str]) -> NotRead:
    """Return the files of a listing that no row uses.

    Parameters
    ----------
    folder
        The folder that was listed.
    used
        Relative paths of the videos and of the folders of frames that rows name.
    sources
        Absolute paths of the annotation files that were read.
    """
    videos = [path for path in listing.videos if path not in used]
    unknown = [path for path in listing.unknown if path not in used]
    images = {path: count for path, (count, _) in listing.images.items() if path not in used}
    annotations = [path for path in listing.annotations if absolute(folder / path) not in sources]
    if not is_remote(folder):
        others = [path for path in listing.others if absolute(folder / path) not in sources]
        annotations += [path for path in others[:MOST_OPENED] if _is_annotation(folder / path)]
    shown = [f"{path}/ ({count} image{'s' * (count != 1)})" for path, count in images.items()]
    return NotRead(len(videos), sorted([*videos, *annotations, *unknown, *shown]))


def path_version(path: Place) -> str:
    """A text that changes when a file changes whose suffix no listing knows; a folder's is its listing's."""
    if is_remote(path):
        return remote_version(str(path))
    try:
        found = Path(str(path)).stat()
    except OSError as error:
        return type(error).__name__
    if Path(str(path)).is_dir():
        return "folder"
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"


def _is_annotation(path: Place) -> bool:
    try:
        return 0 < path.stat().st_size <= LARGEST_OPENED and recognised(path)
    except OSError:
        return False
