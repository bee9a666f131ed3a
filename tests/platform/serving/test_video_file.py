"""An uploaded video is written once, and read where it lies by processes of its node."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_in_process import Encoders, make_service
from fastapi import FastAPI
from tiny_index import SENTENCES

from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.index.search import Searcher
from cico_platform.serving.deployments import ask_with_file
from cico_platform.serving.http import build_app
from cico_platform.serving.video_encoder import VideoEncoder
from cico_platform.serving.video_file import NotHereError, VideoFile, opened_here


def post(app: FastAPI, data: bytes) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            return await client.post("/v1/search/video", files={"file": ("../any.mp4", data)})

    return asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_the_encoder_gets_the_path_of_a_file_that_is_gone_afterwards(
    searcher: Searcher, encoders: Encoders, folder: Path, fails: bool
) -> None:
    data = (folder / "videos" / "clip 1.mp4").read_bytes()
    seen: list[VideoFile] = []
    service = make_service(searcher, encoders)
    encode = service.encoders.video

    async def noted(video: VideoFile, *span: float | None) -> VideoQuery | str:
        seen.append(video)
        assert Path(video.path).read_bytes() == data
        assert Path(video.path).parent == Path(tempfile.gettempdir())
        assert Path(video.path).stat().st_mode & 0o077 == 0
        return "it can't be read" if fails else await encode(video, *span)

    object.__setattr__(service.encoders, "video", noted)
    answer = post(build_app(service, "0"), data)
    if fails:
        assert answer.status_code == 422
    else:
        assert answer.json()["results"][0]["text"] == SENTENCES[1]
    assert [video.size for video in seen] == [len(data)]
    assert not Path(seen[0].path).exists()


def test_an_encoder_of_another_node_is_sent_the_file(searcher: Searcher, folder: Path) -> None:
    path = folder / "videos" / "clip 1.mp4"
    video = VideoFile(str(path), path.stat().st_size)
    encoder = VideoEncoder(searcher.info)
    asked: list[object] = []

    class Elsewhere:
        """A deployment's method, on a node that does not have the file."""

        def remote(self, given: Any, info: Any) -> Any:
            asked.append(given)
            there = (
                VideoFile(given.path + ".not-there", given.size) if isinstance(given, VideoFile) else given
            )
            return encoder.encode(there, info)

    found = asyncio.run(ask_with_file(video, Elsewhere(), searcher.info))
    assert isinstance(found, VideoQuery)
    assert asked == [video, path.read_bytes()]


def test_a_file_of_another_size_is_not_the_one_that_was_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with opened_here(VideoFile(str(tmp_path / "file"), 3)) as path:
        assert Path(path).read_bytes() == b"abc"
    for name, size in (("file", 2), ("none", 3)):
        with pytest.raises(NotHereError), opened_here(VideoFile(str(tmp_path / name), size)):
            pass
    with opened_here(b"abcd") as path:
        assert Path(path).read_bytes() == b"abcd"
    assert not Path(path).exists()
