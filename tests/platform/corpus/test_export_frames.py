"""`cico corpus frames` shows what the sign encoder sees, and when."""

import json
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import Kind, numbers_of, write
from numpy.typing import NDArray
from PIL import Image

from cico_platform.corpus.export_frames import export_frames
from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.errors import InputError
from cico_platform.pipelines.decode import SourceClip, decode_row


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write(folder / "talk.ts", Kind("ts", reordered=3), 120)
    cut = write(folder / "cut.mkv", Kind("mkv", keys=10), 100)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    clips = [
        Clip("talk", "t", "train", "talk.ts", "a", "a", start=2.0, end=3.0, crop=[0.25, 0.0, 0.75, 1.0]),
        Clip("whole", "t", "train", "talk.ts", "a", "a"),
        Clip("beyond", "t", "train", "talk.ts", "a", "a", start=4.0, end=9.0),
        Clip("cut", "t", "train", "cut.mkv", "a", "a"),
        Clip("missing", "t", "train", "none.mp4", "a", "a"),
    ]
    write_manifest(folder, clips)
    return folder


def pictures(folder: Path) -> NDArray[np.uint8]:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_the_pictures_are_the_frames_of_the_pipeline(corpus: Path, tmp_path: Path) -> None:
    result = export_frames(corpus, "talk", tmp_path / "out")
    about = json.loads((tmp_path / "out" / "frames.json").read_text())
    assert about["times"] == pytest.approx(np.arange(2.0, 3.0, 0.04), abs=1e-3)
    assert about["source_frames"] == list(range(50, 75))
    assert about["fps"] == pytest.approx(25)
    assert about["crop"] == [0.25, 0.0, 0.75, 1.0]
    assert about["truncated"] is False
    assert result["frames"] == 25
    crop = [0.25, 0.0, 0.75, 1.0]
    found, _ = decode_row(SourceClip("", str(corpus / "talk.ts"), 2.0, 3.0, crop, "", False, False), 256)
    assert found is not None
    assert np.array_equal(pictures(tmp_path / "out"), found)


def test_whole_frames_keep_their_aspect_and_replace_an_earlier_export(corpus: Path, tmp_path: Path) -> None:
    export_frames(corpus, "talk", tmp_path)
    export_frames(corpus, "whole", tmp_path, full=True)
    frames = pictures(tmp_path)
    assert frames.shape == (120, 96, 192, 3)
    assert numbers_of(frames) == list(range(120))
    export_frames(corpus, "talk", tmp_path, full=True)
    assert numbers_of(pictures(tmp_path)) == list(range(50, 75))


def test_what_is_missing_is_told(corpus: Path, tmp_path: Path) -> None:
    cut = export_frames(corpus, "cut", tmp_path)
    assert (cut["truncated"], cut["short"]) == (True, False)
    beyond = export_frames(corpus, "beyond", tmp_path)
    assert (beyond["truncated"], beyond["short"]) == (False, True)
    assert beyond["source_frames"] == list(range(100, 120))
    with pytest.raises(InputError, match="does not exist"):
        export_frames(corpus, "missing", tmp_path)
    with pytest.raises(InputError, match="no clip 'nobody'"):
        export_frames(corpus, "nobody", tmp_path)
