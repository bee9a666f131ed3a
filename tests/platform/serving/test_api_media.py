"""Clips are given out from indexed roots only, in ranges, wherever they lie."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pytest
from api_in_process import SETTINGS, Encoders, problem
from fastapi.testclient import TestClient

from cico_platform.index.clips import IndexedClip
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.search import Searcher
from cico_platform.serving.http import build_app
from cico_platform.serving.media import byte_range, is_given_out
from cico_platform.serving.service import SearchService


class Media:
    """An index of clips that lie in all kinds of places, in an app of its own."""

    def __init__(self, encoders: Encoders, searcher: Searcher, places: dict[str, str], **limits: Any) -> None:
        self.folder = TemporaryDirectory()
        self.index = EmbeddedIndex(self.folder.name)
        self.index.create("c", 32)
        tokens = np.ones((1, 32), np.float32)
        self.index.upsert("c", [IndexedClip(name, tokens, {"path": path}) for name, path in places.items()])
        settings = SETTINGS.model_copy(update=limits)
        service = SearchService(self.index, "c", searcher.model.config, encoders.ways(), settings)
        self.client = TestClient(build_app(service, "0"))

    def get(self, name: str, **headers: str) -> httpx.Response:
        return self.client.get(f"/v1/clips/{name}/media", headers=headers)


def test_a_clip_of_frames_and_a_clip_elsewhere_are_refused_in_words(
    encoders: Encoders, searcher: Searcher, tmp_path: Path
) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.mp4").symlink_to(tmp_path / "out.mp4")
    for name in ("out.mp4", "in/clip.mp4"):
        (tmp_path / name).write_bytes(b"0123")
    places = {
        "frames": str(tmp_path / "frames"),
        "text": str(tmp_path / "secret.txt"),
        "link": str(tmp_path / "in" / "link.mp4"),
        "out": str(tmp_path / "in" / ".." / "out.mp4"),
        "clip": str(tmp_path / "in" / "clip.mp4"),
        "remote": "memory://elsewhere/clip.mp4",
    }
    media = Media(encoders, searcher, places, media_roots=(str(tmp_path / "in"),))
    assert "folder of frames" in problem(media.get("frames"), 404)["detail"]
    assert "not kept as a video" in problem(media.get("text"), 404)["detail"]
    for name in ("link", "out", "remote"):
        assert "outside" in problem(media.get(name), 404)["detail"]
    assert media.get("clip").content == b"0123"


def test_a_remote_clip_is_passed_through_in_ranges_within_a_limit(
    encoders: Encoders, searcher: Searcher
) -> None:
    import fsspec

    content = bytes(range(256)) * 3000
    store = fsspec.filesystem("memory")
    store.pipe("/clips/a.mp4", content)
    store.pipe("/clips/large.mp4", content * 2)
    places = {name: f"memory://clips/{name}.mp4" for name in ("a", "large", "gone")}
    media = Media(encoders, searcher, places, remote_media_bytes=1 << 20, media_roots=("memory://clips",))
    whole = media.get("a")
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-type"] == "video/mp4"
    part = media.get("a", range="bytes=1000-1999")
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    assert media.get("a", range="bytes=-10").content == content[-10:]
    refused = media.get("a", range=f"bytes={len(content)}-")
    assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert "larger than the 1 MiB" in problem(media.get("large"), 422)["detail"]
    assert "no longer" in problem(media.get("gone"), 404)["detail"]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("s3://a/b/c.mp4", True),
        ("s3://a/b/../c.mp4", False),
        ("s3://a/bc/c.mp4", False),
        ("gs://a/b/c.mp4", False),
        ("/s3:/a/b/c.mp4", False),
    ],
)
def test_a_root_is_a_whole_folder_of_its_own_store(path: str, given: bool) -> None:
    assert is_given_out(path, ["s3://a/b"]) is given


@pytest.mark.parametrize("wanted", ["bytes=5-4", "bytes=10-", "bytes=-0"])
def test_a_range_that_holds_no_byte_is_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        byte_range(wanted, 10)
