"""How2Sign clip numbers count all lines of a video by their starts, also the broken ones."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from sample_videos import write

from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.corpus.readers import find_reader
from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.corpus.readers.rows import Rows

HOW2SIGN = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"


def how2sign(tmp_path: Path, lines: list[str]) -> Rows:
    for video in ("v-8-rgb_front", "w-8-rgb_front"):
        for number in range(5):
            (tmp_path / f"{video}_clip{number}.mp4").touch()
    source = tmp_path / "how2sign_realigned_val.csv"
    source.write_text("\n".join([HOW2SIGN, *lines]))
    return find_reader(source).read(source, None)


def line(video: str, number: int, text: str = "a sentence", start: str = "1") -> str:
    names = f"{video}\t{video}-8-rgb_front\t{video}_{number}\t{video}_{number}-8-rgb_front"
    return f"{names}\t{start}\t99\t{text}"


BROKEN = {
    "a tab in the sentence": line("v", 1, "two\thalves"),
    "too few fields": "v\tv-8-rgb_front\tv_1",
    "fields without the video": "v\t1\t2",
    "no text": line("v", 1, " "),
    "not UTF-8": line("v", 1, "caf\udce9"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_row_shifts_no_clip_number(tmp_path: Path, broken: str) -> None:
    lines = [line("v", 0), BROKEN[broken], line("v", 2), "", line("w", 0)]
    for video in ("v-8-rgb_front", "w-8-rgb_front"):
        for number in range(5):
            (tmp_path / f"{video}_clip{number}.mp4").touch()
    source = tmp_path / "how2sign_realigned_val.csv"
    source.write_text("\n".join([HOW2SIGN, *lines]), encoding="utf-8", errors="surrogateescape")
    rows = find_reader(source).read(source, None)
    assert [(row.video_id, row.file) for row in rows.good] == [
        ("v_0-8-rgb_front", "v-8-rgb_front_clip0.mp4"),
        ("v_2-8-rgb_front", "v-8-rgb_front_clip2.mp4"),
        ("w_0-8-rgb_front", "w-8-rgb_front_clip0.mp4"),
    ]
    assert len(rows.bad) == 1


def test_a_sentence_over_two_lines_is_one_row_that_cannot_be_used(tmp_path: Path) -> None:
    rows = how2sign(tmp_path, [line("v", 0), line("v", 1, "half a"), "sentence", line("v", 2)])
    assert [row.file for row in rows.good] == ["v-8-rgb_front_clip0.mp4", "v-8-rgb_front_clip2.mp4"]
    assert [bad.reason for bad in rows.bad] == [
        "the sentence goes on in line 4",
        "1 fields where the header has 7",
    ]


def test_a_broken_row_between_two_videos_makes_the_second_unsure(tmp_path: Path) -> None:
    rows = how2sign(tmp_path, [line("v", 0), "x\t1\t2", line("w", 0), line("w", 1)])
    assert [row.file for row in rows.good] == ["v-8-rgb_front_clip0.mp4"]
    assert [bad.reason[:20] for bad in rows.bad] == ["3 fields where the h", *["a broken line above "] * 2]
    (tmp_path / "w_1-8-rgb_front.mp4").touch()
    (tmp_path / "v-8-rgb_front_clip0.mp4").unlink()
    rows = how2sign(tmp_path, [line("v", 0), "x\t1\t2", line("w", 0), line("w", 1)])
    assert [row.file for row in rows.good][1:] == ["w_1-8-rgb_front.mp4"]


def test_clips_have_the_numbers_and_texts_of_the_published_files(shared_dir: Path, tmp_path: Path) -> None:
    samples = shared_dir / "samples"
    source = Path(shutil.copy(samples / "how2sign_realigned_test.csv", tmp_path))
    cut_off = source.read_text().splitlines()[-1].split("\t")[1]  # the sample ends within this video
    entries = [e for found in load_data(samples / "cico_how2sign_test.pkl").values() for e in found]
    published = [e for e in entries if not e["video_name"].startswith(cut_off)]
    for entry in published:
        (tmp_path / f"{entry['video_name']}.mp4").touch()
    texts = {row.file: row.text for row in find_reader(source).read(source, None).good}
    assert len(published) > 20
    for entry in published:
        assert texts[f"{entry['video_name']}.mp4"] == entry["text"]


def test_a_table_in_another_order_has_the_same_clips(tmp_path: Path) -> None:
    starts = {0: "0.5", 1: "4", 10: "33", 2: "9", 3: "12.5"}  # in the order of names, not of time
    rows = how2sign(tmp_path, [line("v", number, start=start) for number, start in starts.items()])
    assert {row.video_id: row.file for row in rows.good} == {
        f"v_{number}-8-rgb_front": f"v-8-rgb_front_clip{place}.mp4"
        for place, number in enumerate([0, 1, 2, 3, 10])
    }


@pytest.mark.parametrize("start", ["9", "soon"])
def test_a_broken_row_counts_where_its_start_is(tmp_path: Path, start: str) -> None:
    lines = [line("v", 0, start="20"), line("v", 1, "two\thalves", start=start), line("v", 2, start="30")]
    rows = how2sign(tmp_path, lines)
    numbers = [1, 2] if start == "9" else [0, 2]
    assert [row.file for row in rows.good] == [f"v-8-rgb_front_clip{number}.mp4" for number in numbers]


def test_a_row_without_a_start_in_a_table_that_is_not_in_order_makes_the_numbers_unsure(
    tmp_path: Path,
) -> None:
    lines = [line("v", 0, start="20"), line("v", 1, start=""), line("v", 2, start="3"), line("w", 0)]
    rows = how2sign(tmp_path, lines)
    assert [row.file for row in rows.good] == ["w-8-rgb_front_clip0.mp4"]
    assert {bad.reason for bad in rows.bad} == {
        "a broken line of its video does not tell its start: the clip's number is not known"
    }


def test_a_square_clip_has_been_cut_to_the_box_and_a_wide_one_has_not(tmp_path: Path) -> None:
    frames = np.full((18, 64, 128, 3), 90, np.uint8)
    frames[:, 20:40, 20:40] = 200
    write(tmp_path / "v-8-rgb_front_clip0.mp4", frames[:, :, :64])
    write(tmp_path / "v-8-rgb_front_clip1.mp4", frames)
    boxes = {f"v-8-rgb_front_clip{n}.mp4": {"x1": 32, "y1": 0, "x2": 96, "y2": 64} for n in (0, 1)}
    (tmp_path / "bounding_box_coco_val.pkl").write_bytes(pickle.dumps(boxes))
    lines = [HOW2SIGN, line("v", 0), line("v", 1, "another one")]
    (tmp_path / "how2sign_realigned_val.csv").write_text("\n".join(lines))
    source = tmp_path / "how2sign_realigned_val.csv"
    read_corpus(source, tmp_path / "corpus", settings=ReadSettings(find_signer=False))
    crops = [clip.crop for clip in Corpus(tmp_path / "corpus").clips()]
    assert crops == [[0.0, 0.0, 1.0, 1.0], [0.25, 0.0, 0.75, 1.0]]
