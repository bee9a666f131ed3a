"""What a corpus' folders hold and no row uses is named, also what cannot be read; a folder of frames once."""

from pathlib import Path

from PIL import Image
from sample_videos import signing, write

from cico_platform.corpus.media_files import walk
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.steps import Summary

FAST = ReadSettings(find_signer=False, trim=False)


def read(folder: Path) -> Summary:
    """Read a folder with one video and one row."""
    write(folder / "a.mp4", signing(5, (64, 48)))
    (folder / "labels.csv").write_text("file,text\na.mp4,some words\n")
    return read_corpus(folder / "labels.csv", folder.parent / "corpus", settings=FAST)


def left_by(tmp_path: Path) -> list[str]:
    summary = read(tmp_path / "source")
    names = summary.details["not_read_files"]
    assert summary.details["not_read"] == len(names)
    return list(names)


def pictures(folder: Path, count: int, suffix: str = "png") -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (16, 12)).save(folder / f"{number}.{suffix}")


def test_a_folder_of_frames_is_named_once(tmp_path: Path) -> None:
    pictures(tmp_path / "source/clip", 40)
    pictures(tmp_path / "source/clip/more", 1)
    assert left_by(tmp_path) == ["clip/ (40 images)", "clip/more/ (1 image)"]


def test_media_that_are_not_decoded_are_named(tmp_path: Path) -> None:
    for name in ("old.RMVB", "gopro.LRV", "half.mp4.part", "raw/scan.y4m"):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(b"content")
    pictures(tmp_path / "source/scans", 3, "bmp")
    pictures(tmp_path / "source/web", 2, "webp")
    assert left_by(tmp_path) == [
        "gopro.LRV",
        "half.mp4.part",
        "old.RMVB",
        "raw/scan.y4m",
        "scans/ (3 images)",
        "web/ (2 images)",
    ]


def test_a_link_that_leads_out_of_the_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "disk/b.mp4", signing(5, (64, 48)))
    source = tmp_path / "source"
    (source / "inside").mkdir(parents=True)
    (source / "val").symlink_to(tmp_path / "disk")
    (source / "same.mp4").symlink_to(source / "inside")
    (source / "loop").symlink_to(source)
    (source / "made").symlink_to(tmp_path / "corpus")
    (source / "nothing").symlink_to(tmp_path / "gone")
    assert left_by(tmp_path) == ["val/ (a link that leads out of the folder: it is not followed)"]
    assert "b.mp4" not in {Path(found.path).name for found in walk(source)}
