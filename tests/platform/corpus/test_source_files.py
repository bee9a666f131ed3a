"""Files are found whatever their names look like, hidden ones are left out, and what no row uses is named."""

import os
import shutil
import unicodedata
from pathlib import Path

import av
import pytest
from PIL import Image
from sample_videos import signing, write

from cico_platform.corpus.frame_folder import frame_files
from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.media_files import VIDEO_SUFFIXES, walk
from cico_platform.corpus.media_folder import MediaFolder, locate
from cico_platform.corpus.read import FEW_CLIPS, NOT_READ_FILE, ReadSettings, read_corpus
from cico_platform.corpus.readers import find_readers
from cico_platform.corpus.readers.youtube import find_youtube, youtube_id
from cico_platform.errors import InputError
from cico_platform.steps import Summary

FAST = ReadSettings(find_signer=False, trim=False)
FORMATS = {"MTS": "mpegts", "m2ts": "mpegts", "VOB": "vob", "mk3d": "matroska", "ogv": "ogg"}
CUE = "WEBVTT\n\n00:00.000 --> 00:00.400\nhello you there\n"


def read(source: Path, out: Path, **more: object) -> Summary:
    return read_corpus(source, out, settings=FAST, **more)  # type: ignore[arg-type]


def frames(folder: Path, count: int = 12) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (32, 24), (number, 80, 90)).save(folder / f"{number:04d}.png")
    return folder


def paths(corpus: Path) -> list[str]:
    return sorted(Path(clip.path).name for clip in Corpus(corpus).clips())


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 20 frames at 25 a second."""
    return write(tmp_path_factory.mktemp("video") / "video.mp4", signing(20, (64, 48)))


@pytest.mark.parametrize("suffix", [".MOV", ".MTS", ".mts", ".M2TS", ".3gp", ".MXF", ".vob", ".OGV", ".GIF"])
def test_a_suffix_may_be_written_in_any_case(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"IMG_1{suffix}").touch()
    (tmp_path / "IMG_1.vtt").write_text(CUE)
    (row,) = find_readers(tmp_path)[0].read(tmp_path, None).good
    assert row.file == f"IMG_1{suffix}"
    assert locate(tmp_path, f"IMG_1{suffix.swapcase()}").name == f"IMG_1{suffix}"
    assert [found.path for found in walk(tmp_path) if found.suffix in VIDEO_SUFFIXES] == [f"IMG_1{suffix}"]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("MTS", "libx264"), ("m2ts", "libx264"), ("3gp", "mpeg4"), ("mxf", "mpeg2video"),
        ("VOB", "mpeg2video"), ("gif", "gif"), ("ogv", "libvpx"), ("MOV", "libx264"), ("mk3d", "libx264"),
    ],
)  # fmt: skip
def test_containers_are_read_whatever_their_suffix(tmp_path: Path, suffix: str, codec: str) -> None:
    with av.open(str(tmp_path / f"good_day.{suffix}"), "w", format=FORMATS.get(suffix)) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 176, 144
        stream.pix_fmt = "rgb8" if suffix == "gif" else "yuv420p"
        for frame in signing(15, (176, 144)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=stream.pix_fmt)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    summary = read(tmp_path, tmp_path / "corpus")
    assert (summary.done, summary.quarantined, summary.details["not_read"]) == (1, 0, 0)
    (clip,) = Corpus(tmp_path / "corpus").clips()
    assert (clip.text, Path(clip.path).name) == ("good day", f"good_day.{suffix}")


def test_hidden_files_are_left_out_everywhere(tmp_path: Path, video: Path) -> None:
    junk = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(40)
    shutil.copy(video, tmp_path / "talk.mp4")
    (tmp_path / "talk.vtt").write_text(CUE)
    for name in ("._talk.vtt", "._talk.mp4", "._notes.eaf", "._x.csv", ".cache/a.mp4", "__MACOSX/talk.vtt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(junk)
    summary = read(tmp_path, tmp_path / "corpus")
    assert (summary.done, summary.quarantined, summary.details["not_read"]) == (1, 0, 0)
    assert summary.details["readers"] == {"subtitles": 1}
    (tmp_path / "talk.vtt").unlink()
    assert [found.path for found in walk(tmp_path)] == ["talk.mp4"]
    (frames(tmp_path / "clip", 2) / "._0001.png").write_bytes(junk)
    assert [path.name for path in frame_files(tmp_path / "clip")] == ["0000.png", "0001.png"]


def test_unicode_forms_and_back_slashes_match(tmp_path: Path) -> None:
    names = ("Über uns/Grüße", "한국어/수어")
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        root = tmp_path / form
        for name in names:
            path = root / f"{unicodedata.normalize(form, name)}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            wanted = unicodedata.normalize(other, name)
            for written in (f"{wanted}.mp4", wanted, f"{wanted}.mp4".replace("/", "\\"), f"./{wanted}.MP4"):
                assert locate(root, written) == path
    for written in ("..\\x.mp4", "C:\\x.mp4", "a\\..\\..\\x.mp4"):
        with pytest.raises(InputError, match="leads out"):
            locate(tmp_path / "NFC", written)


def test_a_video_is_preferred_to_a_folder_of_its_name(tmp_path: Path) -> None:
    frames(tmp_path / "talk", 2)
    assert locate(tmp_path, "talk").name == "talk"
    (tmp_path / "talk.MKV").touch()
    assert locate(tmp_path, "talk").name == "talk.MKV"
    assert locate(tmp_path, "talk/").name == "talk"
    (tmp_path / "talk.mp4").touch()
    assert locate(tmp_path, "talk").name == "talk.mp4"
    (tmp_path / "talk.gif").touch()
    assert locate(tmp_path, "talk").name == "talk.mp4"
    assert locate(tmp_path, "talk.gif").name == "talk.gif"


def test_the_stem_of_a_name_is_compared_exactly(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    for written in ("A.mp4", "A", "a.avi", "a.mp4.mp4"):
        with pytest.raises(InputError, match="does not exist"):
            locate(tmp_path, written)


def test_youtube_videos_are_found_by_their_ids(tmp_path: Path) -> None:
    name = "C37R_Ix8-qs"
    (tmp_path / f"{name}.webm").touch()
    for url in (
        f"www.youtube.com/watch?v={name}&t=3",
        f"https://youtu.be/{name}?x=1",
        f"https://m.youtube.com/embed/{name}",
    ):
        assert youtube_id(url) == name
        assert find_youtube(MediaFolder(tmp_path), url) == f"{name}.webm"
    assert youtube_id("http://elsewhere.org/a.mp4") is None


def test_what_no_row_uses_is_counted_and_named(tmp_path: Path, video: Path) -> None:
    for name in ("a.mp4", "b.mp4", "raw/c.MXF"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(video, tmp_path / name)
    frames(tmp_path / "thumbs", 3)
    (tmp_path / "labels.csv").write_text("file,text\na.mp4,one thing\ngone.mp4,no thing\n")
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    (tmp_path / "b.srt").write_text("")
    (tmp_path / "more.json").write_text('[{"file": "b.mp4", "text": "two"}]')
    (tmp_path / "info.json").write_text('{"title": "no table"}')
    (tmp_path / "README.txt").write_text("read me")
    summary = read(tmp_path / "labels.csv", tmp_path / "corpus")
    left = ["b.mp4", "b.srt", "labels.xlsx", "more.json", "raw/c.MXF", "thumbs/ (3 images)"]
    assert summary.details["not_read_files"] == left
    assert (summary.details["not_read"], summary.details["unlisted_files"]) == (6, 2)
    assert (tmp_path / "corpus" / NOT_READ_FILE).read_text().splitlines() == left
    assert summary.details["readers"] == {"labels": 2}
    assert (summary.done, summary.quarantined) == (1, 1)


def test_a_folder_with_subtitles_and_elan_files_is_read_with_both(tmp_path: Path, video: Path) -> None:
    from elan_files import document, tier

    shutil.copy(video, tmp_path / "a.mp4")
    shutil.copy(video, tmp_path / "b.mp4")
    (tmp_path / "a.vtt").write_text(CUE)
    both = tier("Translation", [(0, 400, "hello you there"), (400, 700, "good bye now")])
    (tmp_path / "a.eaf").write_text(document([both], ["a.mp4"]))
    summary = read(tmp_path, tmp_path / "corpus")
    assert summary.details["readers"] == {"subtitles": 1, "elan": 2}
    assert (summary.done, summary.quarantined) == (2, 1)
    assert summary.details["reasons"] == {"the same text and times as a.vtt:3": 1}
    assert summary.details["not_read_files"] == ["b.mp4"]


def change_frame(folder: Path) -> None:
    path = folder / "clip/0003.png"
    before = path.stat()
    Image.new("RGB", (32, 24), (3, 81, 90)).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "a video appears": lambda folder: (folder / "gone.mp4").write_bytes((folder / "a.mp4").read_bytes()),
    "a folder of frames appears": lambda folder: frames(folder / "gone"),
    "a frame appears": lambda folder: shutil.copy(folder / "clip/0001.png", folder / "clip/0012.png"),
    "a frame goes": lambda folder: (folder / "clip/0002.png").unlink(),
    "a frame changes and keeps its time": change_frame,
    "a video of an odd suffix changes": lambda folder: (folder / "odd.dat").write_bytes(b"now longer"),
    "the table changes": lambda folder: (folder / "labels.csv").write_text("file,text\na.mp4,a new text\n"),
    "a video that no row names appears": lambda folder: (folder / "b.mp4").touch(),
    "an annotation file appears": lambda folder: (folder / "b.srt").touch(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_second_read_notices(tmp_path: Path, video: Path, change: str) -> None:
    folder = tmp_path / "source"
    frames(folder / "clip")
    shutil.copy(video, folder / "a.mp4")
    (folder / "odd.dat").write_bytes(b"no video")
    rows = ["a.mp4,first words", "clip,second words", "gone,third words", "odd.dat,fourth words"]
    (folder / "labels.csv").write_text("\n".join(["file,text", *rows]))
    out = folder / "corpus"
    first = read(folder / "labels.csv", out)
    assert (first.done, first.quarantined) == (2, 2)
    again = read(folder / "labels.csv", out)
    assert (again.done, again.skipped, again.quarantined) == (0, 2, 2)
    CHANGES[change](folder)
    new = read(folder / "labels.csv", out)
    assert new.done >= 1
    if "appears" in change and "folder" in change:
        assert (new.done, new.quarantined) == (3, 1)


def test_a_second_read_notices_an_annotation_in_a_folder(tmp_path: Path, video: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    shutil.copy(video, folder / "a.mp4")
    (folder / "a.vtt").write_text(CUE)
    assert read(folder, tmp_path / "corpus").done == 1
    assert read(folder, tmp_path / "corpus").skipped == 1
    (folder / "a.vtt").write_text(CUE.replace("hello", "howdy"))
    assert read(folder, tmp_path / "corpus").done == 1
    (folder / "a.de.vtt").write_text(CUE.replace("hello", "hallo"))
    assert read(folder, tmp_path / "corpus").done == 2


def test_folders_that_a_step_wrote_are_no_part_of_a_source(tmp_path: Path, video: Path) -> None:
    shutil.copy(video, tmp_path / "a.mp4")
    assert read(tmp_path, tmp_path / "corpus").details["not_read"] == 0
    shutil.copy(video, tmp_path / "corpus/made.mp4")
    assert [found.path for found in walk(tmp_path)] == ["a.mp4"]
    assert "made.mp4" in [found.path for found in walk(tmp_path / "corpus")]


def test_ids_do_not_depend_on_rows_that_cannot_be_used(tmp_path: Path, video: Path) -> None:
    shutil.copy(video, tmp_path / "a.mp4")
    rows = ["a.mp4,one thing,0,0.3", "a.mp4,two things,9,12", "a.mp4,,0,1", "a.mp4,four things,0.3,0.6"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,text,start,end", *rows]))
    summary = read(tmp_path / "labels.csv", tmp_path / "corpus")
    assert (summary.done, summary.quarantined) == (2, 2)
    assert {clip.video_id: clip.text for clip in Corpus(tmp_path / "corpus").clips()} == {
        "a": "one thing",
        "a-4": "four things",
    }
    assert [row["video_id"] for row in Corpus(tmp_path / "corpus").quarantined("read")] == ["a-2", "a-3"]


def test_few_clips_need_no_ray(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cico_platform.corpus.parallel.connect", lambda: pytest.fail("Ray was started"))
    shutil.copy(video, tmp_path / "a.mp4")
    rows = [f"a.mp4,sentence number {number}" for number in range(FEW_CLIPS)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,text", *rows]))
    assert read(tmp_path / "labels.csv", tmp_path / "corpus").done == FEW_CLIPS


def test_files_behind_a_url_are_found_in_the_same_way() -> None:
    from upath import UPath

    root = UPath("memory://cico-test-files")
    for name in (
        "day1/Talk.MOV",
        "._x.mp4",
        ".hidden/y.mp4",
        "made/step.json",
        "made/z.mp4",
        "out/w.mp4",
        "a.csv",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"content")
    found = {one.path: one.version for one in walk(root, skip=f"{root}/out")}
    assert sorted(found) == ["a.csv", "day1/Talk.MOV"]
    media = MediaFolder(root)
    assert media.find("day1\\Talk.mov") == "day1/Talk.MOV"
    assert media.find("day1/Talk") == "day1/Talk.MOV"
    assert media.find("day2/Talk") is None
    assert str(media.locate("day1/Talk")) == str(root / "day1/Talk.MOV")
    with pytest.raises(InputError, match="leads out"):
        media.find("../x.mp4")
    (root / "day1/Talk.MOV").write_bytes(b"longer content")
    assert {one.path: one.version for one in walk(root)}["day1/Talk.MOV"] != found["day1/Talk.MOV"]
