"""Giving out the files of indexed clips, in ranges: from this machine's disk, or through from a store."""

import asyncio
import mimetypes
import posixpath
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from fastapi.responses import FileResponse, Response, StreamingResponse

from cico_platform.errors import InputError
from cico_platform.serving.problems import ProblemError
from cico_platform.serving.settings import ServiceSettings
from cico_platform.storage import is_remote, place

CHUNK = 1 << 18
HEADERS = {"cache-control": "private, max-age=3600"}
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def media_response(path: str, wanted: str | None, settings: ServiceSettings) -> Response:
    """The file of a clip, or the part of it that a Range header asks for.

    Parameters
    ----------
    path
        As it was indexed: an absolute path, or a URL.
    wanted
        The header.

    Raises
    ------
    ProblemError
        404 if it is gone, lies outside `media_roots` or is no file that browsers play; 422 if it is too
        large to be passed through; 503 if the store doesn't answer.
    """
    kind = mimetypes.guess_type(path)[0] or ""
    if not is_remote(path) and await asyncio.to_thread(Path(path).is_dir):
        raise ProblemError(404, "this clip is kept as a folder of frames; there is no video file to play")
    if not kind.startswith("video/"):
        raise ProblemError(404, "this clip is not kept as a video file that browsers play")
    if not await asyncio.to_thread(is_given_out, path, settings.media_roots):
        raise ProblemError(404, "the file of this clip lies outside the folders that are given out")
    if is_remote(path):
        return await _from_store(path, kind, wanted, settings)
    file = Path(path)
    if not file.is_absolute() or not await asyncio.to_thread(file.is_file):
        raise ProblemError(404, "the file of this clip is no longer where it was indexed")
    return FileResponse(file, media_type=kind, headers=HEADERS)


def is_given_out(path: str, roots: Sequence[str]) -> bool:
    """Whether a file lies below one of the roots, symbolic links followed; without roots, it does.

    >>> is_given_out("s3://clips/a/../../secret.mp4", ["s3://clips/a"])
    False
    """
    if not roots:
        return True
    if not is_remote(path):
        real = Path(path).resolve()
        return any(real.is_relative_to(Path(root).resolve()) for root in roots if not is_remote(root))
    scheme, _, rest = path.partition("://")
    clean = f"{scheme}://{posixpath.normpath(rest)}"
    return any(clean.startswith(root.rstrip("/") + "/") for root in roots if is_remote(root))


def byte_range(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end of a Range header; None is the whole file, which any header but one range gets.

    Raises
    ------
    ValueError
        If the file has no such bytes.

    Examples
    --------
    >>> byte_range("bytes=2-4", 10), byte_range("bytes=-3", 10), byte_range("bytes=1-2,4-5", 10)
    ((2, 5), (7, 10), None)
    """
    match = RANGE.fullmatch(wanted or "")
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise ValueError(f"the file has {size} bytes")
    return start, end


async def _from_store(path: str, kind: str, wanted: str | None, settings: ServiceSettings) -> Response:
    try:
        file = await asyncio.wait_for(asyncio.to_thread(_open, path), settings.rank_seconds)
        size = int(await asyncio.to_thread(_size, file))
    except FileNotFoundError:
        raise ProblemError(404, "the file of this clip is no longer where it was indexed") from None
    except (OSError, InputError, TimeoutError) as error:
        raise ProblemError(503, f"the store of this clip doesn't answer: {type(error).__name__}") from error
    headers = {**HEADERS, "accept-ranges": "bytes"}
    try:
        if size > settings.remote_media_bytes:
            limit = settings.remote_media_bytes >> 20
            raise ProblemError(
                422, f"the file of this clip is larger than the {limit} MiB that are passed on"
            )
        chosen = byte_range(wanted, size)
    except ValueError:
        file.close()
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    except ProblemError:
        file.close()
        raise
    start, end = chosen or (0, size)
    headers["content-length"] = str(end - start)
    if chosen:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if chosen else 200
    return StreamingResponse(_pieces(file, start, end), status, headers, media_type=kind)


def _open(path: str) -> IO[bytes]:
    return cast(IO[bytes], place(path).open("rb"))


def _size(file: IO[bytes]) -> int:
    size: Any = file.seek(0, 2)
    return int(size)


async def _pieces(file: IO[bytes], start: int, end: int) -> AsyncIterator[bytes]:
    try:
        await asyncio.to_thread(file.seek, start)
        while start < end:
            piece = await asyncio.to_thread(file.read, min(CHUNK, end - start))
            if not piece:
                break
            start += len(piece)
            yield piece
    finally:
        file.close()
