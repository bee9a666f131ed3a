"""Published tables and tables of any make: times in every unit, broken rows, and what is not used."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sample_videos import signing, write

from cico_platform.corpus.frame_times import frame_interval
from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.corpus.read import CLIPPED, CUT, NOTES_FILE, ReadSettings, read_corpus
from cico_platform.corpus.readers import find_reader, labels
from cico_platform.corpus.readers.columns import columns_of
from cico_platform.corpus.readers.rows import Rows
from cico_platform.corpus.video import decode_clip
from cico_platform.steps import Summary

FAST = ReadSettings(find_signer=False, trim=False)
FPS = 25


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of two seconds."""
    return write(tmp_path_factory.mktemp("video") / "video.mp4", signing(2 * FPS, (64, 48)))


def table(tmp_path: Path, content: str, name: str = "labels.csv") -> Rows:
    (tmp_path / name).write_text(content)
    return labels.read(tmp_path / name)


def corpus(source: Path, out: Path, **more: Any) -> tuple[Summary, dict[str, Clip]]:
    summary = read_corpus(source, out, settings=FAST, **more)
    return summary, {clip.text: clip for clip in Corpus(out).clips()}


def msasl(**changes: object) -> dict[str, object]:
    """An object as Microsoft publishes it."""
    return {
        "org_text": "match [light-MATCH]", "clean_text": "match", "start_time": 0.4, "signer_id": 0,
        "signer": 0, "start": 10, "end": 35, "file": "match light", "label": 830, "height": 360.0,
        "fps": 25.0,
        "end_time": 1.4, "url": "www.youtube.com/watch?v=C37R_Ix8-qs", "text": "match",
        "box": [0.1, 0.2, 0.9, 0.7], "width": 640.0, **changes,
    }  # fmt: skip


def test_msasl_is_read_in_seconds(tmp_path: Path, video: Path) -> None:
    shutil.copy(video, tmp_path / "C37R_Ix8-qs.MP4")
    (tmp_path / "raw").mkdir()
    shutil.copy(video, tmp_path / "raw/b.mp4")
    entries = [
        msasl(),
        msasl(
            file="raw\\b.mp4",
            url="x",
            text="fail",
            clean_text="fail",
            start_time=1.0,
            end_time=2.9,
            signer_id=7,
        ),
        msasl(text="lost", clean_text="lost", url="youtu.be/aaaaaaaaaaa", synonyms=[]),
        msasl(text="no time", clean_text="no time", start_time=None),
        "no object",
        msasl(text="nothing", clean_text="nothing", start_time=3, end_time=3),
    ]
    source = tmp_path / "MSASL_val.json"
    source.write_text(json.dumps(entries))
    assert find_reader(source).name == "msasl"
    summary, clips = corpus(source, tmp_path / "corpus")
    match, fail = clips["match"], clips["fail"]
    assert (match.start, match.end, match.frames) == (0.4, 1.4, 25)
    assert match.crop == [0.2, 0.1, 0.7, 0.9]
    assert (match.label, match.split, match.signer, match.sign_language) == (
        "match",
        "validation",
        "0",
        "ase",
    )
    assert (fail.start, fail.end, fail.frames, fail.signer) == (1.0, 2.0, 25, "7")
    assert (summary.done, summary.quarantined) == (2, 4)
    assert summary.details["unused_columns"] == ["org_text", "start", "end", "label", "fps"]
    assert summary.details["clipped"] == 1
    reasons = {row["where"]: row["reason"] for row in Corpus(tmp_path / "corpus").quarantined()}
    assert reasons["MSASL_val.json[2]"] == "the file does not exist"
    assert "no start_time" in reasons["MSASL_val.json[3]"]


def wlasl(**changes: object) -> dict[str, object]:
    """An instance as WLASL v0.3 publishes it."""
    return {
        "bbox": [8, 4, 40, 44], "fps": 25, "frame_end": -1, "frame_start": 1, "instance_id": 0,
        "signer_id": 118, "source": "aslbrick", "split": "train", "url": "http://aslbricks.org/book.mp4",
        "variation_id": 0,
        "video_id": "69241", **changes,
    }  # fmt: skip


def test_wlasl_is_read_by_frames(tmp_path: Path, video: Path) -> None:
    youtube = {"url": "https://www.youtube.com/watch?v=aaaaaaaaaaa"}
    (tmp_path / "videos").mkdir()
    for name in ("69241.mp4", "00335.mkv", "aaaaaaaaaaa.mp4"):
        shutil.copy(video, tmp_path / "videos" / name)
    write(tmp_path / "videos/07068.mp4", signing(20, (64, 48)))
    entries = [
        {"gloss": "book", "instances": [wlasl(), wlasl(video_id="gone", instance_id=1)]},
        {"gloss": "drink", "instances": [wlasl(video_id="00335", frame_start=11, frame_end=30, split="val")]},
        {"gloss": "go", "instances": [wlasl(video_id="07069", frame_start=26, frame_end=40, **youtube)]},
        {"gloss": "cut", "instances": [wlasl(video_id="07068", frame_start=101, frame_end=120, **youtube)]},
        {"gloss": "late", "instances": [wlasl(video_id="00335", frame_start=51, frame_end=60)]},
        {"gloss": "long", "instances": [wlasl(video_id="00335", frame_start=31, frame_end=99, split="test")]},
        {"gloss": "odd", "instances": [wlasl(frame_start="x"), 3]},
        {"gloss": "none"},
    ]
    source = tmp_path / "WLASL_v0.3.json"
    source.write_text(json.dumps(entries))
    assert find_reader(source).name == "wlasl"
    summary, clips = corpus(source, tmp_path / "corpus")
    assert (summary.done, summary.quarantined) == (5, 5)
    assert (clips["book"].start, clips["book"].end, clips["book"].frames) == (None, None, 50)
    assert clips["book"].crop == [0.125, round(4 / 48, 5), 0.625, round(44 / 48, 5)]
    assert (clips["drink"].start, clips["drink"].end, clips["drink"].frames) == (0.4, 1.2, 20)
    assert (clips["drink"].split, clips["drink"].signer, clips["drink"].video_id) == (
        "validation",
        "118",
        "00335",
    )
    assert (clips["go"].start, clips["go"].frames, Path(clips["go"].path).name) == (
        1.0,
        15,
        "aaaaaaaaaaa.mp4",
    )
    assert (clips["cut"].start, clips["cut"].end, clips["cut"].frames) == (None, None, 20)
    assert (clips["long"].start, clips["long"].frames, clips["long"].video_id) == (1.2, 20, "00335-3")
    assert summary.details["notes"] == {CUT: 1, CLIPPED: 1}
    reasons = {row["where"]: row["reason"] for row in Corpus(tmp_path / "corpus").quarantined()}
    assert "begins at frame 50; the video has 50" in reasons["WLASL_v0.3.json[4].instances[0]"]
    assert "whole number" in reasons["WLASL_v0.3.json[6].instances[0]"]


def test_asl_citizen_finds_its_videos_beside_the_tables(tmp_path: Path, video: Path) -> None:
    (tmp_path / "splits").mkdir()
    (tmp_path / "videos").mkdir()
    shutil.copy(video, tmp_path / "videos/014439-THANK YOU.mp4")
    source = tmp_path / "splits/val.csv"
    source.write_text(
        "Participant ID,Video file,Gloss,ASL-LEX Code\n"
        'P1,014439-THANK YOU.mp4,THANKYOU,"E_01_022"\nP2,gone.mp4,GONE,x\nP3,short\n'
    )
    assert find_reader(source).name == "asl-citizen"
    summary, clips = corpus(source, tmp_path / "corpus")
    clip = clips["thankyou"]
    assert (clip.signer, clip.split, clip.label, clip.language) == ("P1", "validation", "thankyou", "en")
    assert (summary.done, summary.quarantined, summary.details["not_read"]) == (1, 2, 0)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("start,end", "0.4,1.2"),
        ("start_time,end_time", "00:00:00.4,00:00:01.2"),
        ("start,end,start_time,end_time", "10,30,0.4,1.2"),
        ("start,end,Start Time,End Time", "400,1200,0.4,1.2"),
        ("start_ms,end_ms", "400,1200"),
        ("start (ms),end (ms)", "400,1200"),
        ("Start_frame,End_frame,fps", "10,30,25"),
        ("start,end,frame_start,frame_end", "7,8,10,30"),
        ("begin,duration", "0.4,0.8"),
        ("start_ms,duration_ms", "400,800"),
    ],
)
def test_times_of_any_unit_are_one_interval(tmp_path: Path, video: Path, header: str, cells: str) -> None:
    shutil.copy(video, tmp_path / "a.mp4")
    (tmp_path / "labels.csv").write_text(f"file,text,{header}\na.mp4,some words here,{cells}\n")
    _, clips = corpus(tmp_path / "labels.csv", tmp_path / "corpus")
    (clip,) = clips.values()
    assert (clip.start, clip.end, clip.frames) == (0.4, 1.2, 20)


def test_known_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    rows = table(
        tmp_path, "file,text,start,end,start_ms,end_ms,fps,colour,Signer Name,url\n" + "a,b,1,2,1,2,3,4,5,6\n"
    )
    assert rows.unused_columns == ["start", "end", "fps", "Signer Name", "url"]
    content = json.dumps(
        [{"file": "a", "text": "b", "startTime": 1, "start": 3}, {"file": "a", "text": "c", "bbox": 1}]
    )
    assert table(tmp_path, content, "labels.json").unused_columns == ["start", "bbox"]
    assert columns_of(["file", "text", "signer"]).unused == ()
    assert columns_of(["file", "text", "from", "to", "t0", "comment"]).unused == ("from", "to", "t0")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("x,20", "not a number of a frame"), ("10.5,20", "not a number of a frame"), ("20,10", "not a piece"),
        ("20,20", "not a piece"), ("-5,-2", "piece"),
    ],
)  # fmt: skip
def test_frames_that_are_none_are_refused(tmp_path: Path, cells: str, reason: str) -> None:
    rows = table(tmp_path, f"file,text,start_frame,end_frame\na.mp4,words,{cells}\nb.mp4,words,0,10\n")
    if cells == "-5,-2":  # before the video, to its end
        assert [row.frames for row in rows.good] == [(0, None), (0, 10)]
        return
    assert [row.file for row in rows.good] == ["b.mp4"]
    assert reason in rows.bad[0].reason


def test_an_interval_that_leaves_the_video_is_cut_to_it_and_told(tmp_path: Path, video: Path) -> None:
    shutil.copy(video, tmp_path / "a.mp4")
    rows = [
        "before it,-0.5,0.4",
        "after it,1.6,9",
        "rounded up,1.6,2.03",
        "inside,0.4,1",
        "outside,3,4",
        "never,-2,-1",
    ]
    (tmp_path / "labels.csv").write_text(
        "\n".join(["file,text,start,end", *(f"a.mp4,{row}" for row in rows)])
    )
    summary, clips = corpus(tmp_path / "labels.csv", tmp_path / "corpus")
    intervals = {text: (clip.start, clip.end, clip.frames) for text, clip in clips.items()}
    assert intervals == {
        "before it": (0.0, 0.4, 10),
        "after it": (1.6, 2.0, 10),
        "rounded up": (1.6, 2.0, 10),
        "inside": (0.4, 1.0, 15),
    }
    assert (summary.details["clipped"], summary.details["notes"]) == (2, {CLIPPED: 2})
    told = [json.loads(line) for line in (tmp_path / "corpus" / NOTES_FILE).read_text().splitlines()]
    assert [(line["where"], line["note"]) for line in told] == [
        ("labels.csv:2", CLIPPED),
        ("labels.csv:3", CLIPPED),
    ]
    assert summary.quarantined == 2


def test_people_of_a_row_are_its_signer_and_the_others(tmp_path: Path) -> None:
    rows = table(
        tmp_path, "file,text,signer,participants\na,x y,Ann,Bob; Ann\nb,x y,,Cem & Dee\nc,x y,Eve,\n"
    )
    assert [row.participants for row in rows.good] == [("Ann", "Bob"), ("Cem", "Dee"), ("Eve",)]


def test_frames_of_an_uneven_video_are_found_by_their_times(tmp_path: Path) -> None:
    times = [0, 40, 200, 240, 900, 940, 980, 1500]
    path = write(tmp_path / "a.mp4", signing(len(times), (64, 48)), times=times)
    decoded = decode_clip(path)
    found = frame_interval(str(path), 2, 5)
    part = decode_clip(path, start=found.start, end=found.end)
    assert list(part.times) == list(decoded.times[2:5])
    assert frame_interval(str(path), 5, None).end is None
    assert frame_interval(str(path), 6, 20).clipped
    assert not frame_interval(str(path), 6, len(times)).clipped
    with pytest.raises(ClipError, match="begins at frame 8"):
        frame_interval(str(path), len(times), None)


def test_frames_of_a_folder_are_counted_from_nought(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(5, 15):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    found = frame_interval(str(tmp_path), 2, 5)
    assert len(decode_clip(tmp_path, start=found.start, end=found.end).frames) == 3


def test_no_row_of_any_published_table_is_lost(tmp_path: Path) -> None:
    """Rows are numbered over the good and the bad ones, without a gap."""
    (tmp_path / "MSASL_train.json").write_text(
        json.dumps([msasl(), 1, msasl(start_time="x"), msasl(text="b")])
    )
    (tmp_path / "WLASL.json").write_text(
        json.dumps([{"gloss": "a", "instances": [wlasl(), 1]}, {"gloss": "b"}])
    )
    (tmp_path / "labels.csv").write_text("file,text\na,b\nc\n,d\ne,f\n")
    for name, count in (("MSASL_train.json", 4), ("WLASL.json", 3), ("labels.csv", 4)):
        rows = find_reader(tmp_path / name).read(tmp_path / name, None)
        numbers = sorted([row.number for row in rows.good] + [row.number for row in rows.bad])
        assert numbers == list(range(count))
        assert all(a.number < b.number for a, b in pairwise(rows.good))
