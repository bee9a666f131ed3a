"""Receiving an uploaded video: streamed to disk, counted as it comes, refused when it is too large."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, NamedTuple, cast

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cico_platform.serving.problems import ProblemError
from cico_platform.serving.video_file import VideoFile

# Boundaries and small fields beside the file.
OVERHEAD_BYTES = 64 << 10
MAX_FIELDS = 8


class Upload(NamedTuple):
    """The file, and the other fields of the form."""

    video: VideoFile
    fields: dict[str, str]


class _TooLargeError(Exception):
    """More bytes came than are allowed."""


@asynccontextmanager
async def receive_upload(request: Request, limit: int) -> AsyncIterator[Upload]:
    """The multipart field `file` of a request, written to disk as it comes, deleted when it has been used.

    Raises
    ------
    ProblemError
        400 if the body is not a form, 413 if it is too large, 422 if it has no file.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise ProblemError(422, "send the video as multipart/form-data, in the field 'file'")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit + OVERHEAD_BYTES:
        raise _too_large(limit)
    form = await _parse(request, limit)
    try:
        yield _upload(form, limit)
    finally:
        await form.close()


class _Parser(MultiPartParser):
    """Writes files where other processes can read them: under a name, from the first byte on."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        upload = self._current_part.file
        if upload is not None:
            upload.file.close()
            named = tempfile.NamedTemporaryFile(prefix="cico-upload-", suffix=".video")  # noqa: SIM115
            upload.file = cast(BinaryIO, named)
            self._files_to_close_on_error.append(cast(Any, named))


async def _parse(request: Request, limit: int) -> FormData:
    async def counted() -> AsyncGenerator[bytes, None]:
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit + OVERHEAD_BYTES:
                raise _TooLargeError
            yield chunk

    parser = _Parser(request.headers, counted(), max_files=1, max_fields=MAX_FIELDS)
    try:
        return await parser.parse()
    except BaseException as error:
        for file in getattr(parser, "_files_to_close_on_error", []):
            file.close()
        if isinstance(error, _TooLargeError):
            raise _too_large(limit) from None
        if isinstance(error, MultiPartException | KeyError | ValueError):
            message = getattr(error, "message", "") or "the form is broken"
            raise ProblemError(400, f"the body is no multipart form: {message}") from error
        raise


def _upload(form: FormData, limit: int) -> Upload:
    sent: Any = form.get("file")
    if not isinstance(sent, UploadFile):
        raise ProblemError(422, "the form has no field 'file' with a video")
    size = sent.size or 0
    if size == 0:
        raise ProblemError(422, "the video can't be searched with: the file is empty")
    if size > limit:
        raise _too_large(limit)
    sent.file.flush()
    fields = {key: value for key, value in form.items() if isinstance(value, str)}
    return Upload(VideoFile(sent.file.name, size), fields)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"the video is larger than {limit / (1 << 20):.0f} MiB; send a shorter clip")
