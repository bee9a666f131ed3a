"""Signers' boxes in pixels hold for frames of the size that they were measured in."""

import json
import pickle
from pathlib import Path

import pytest
from sample_videos import signing, write

from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.pixel_box import BoxScale, box_fractions
from cico_platform.corpus.read import SCALED, ReadSettings, read_corpus
from cico_platform.corpus.readers import find_reader
from cico_platform.corpus.readers.how2sign import FRAME
from cico_platform.corpus.readers.how2sign import NO_BOX as NO_ENTRY
from cico_platform.corpus.readers.json_lists import NO_BOX

FAST = ReadSettings(find_signer=False, trim=False)
HOW2SIGN = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\n"
BOX = (320.0, 0.0, 960.0, 720.0)
FRACTIONS = [0.25, 0.0, 0.75, 1.0]
REACH = BoxScale((1000.0, 720.0), FRAME)


@pytest.mark.parametrize(
    "size", [(1280, 720), (640, 360), (320, 180), (1920, 1080), (3840, 2160), (426, 240)]
)
def test_boxes_of_published_frames_are_scaled(size: tuple[int, int]) -> None:
    assert box_fractions(BOX, size, REACH) == (FRACTIONS, size != FRAME)


def test_a_box_inside_a_smaller_frame_is_scaled_as_the_others_of_its_corpus_are() -> None:
    small = (32.0, 36.0, 320.0, 180.0)
    assert box_fractions(small, (640, 360), REACH) == ([0.025, 0.05, 0.25, 0.25], True)


def test_boxes_that_all_lie_in_the_frame_are_in_its_pixels() -> None:
    assert box_fractions((16.0, 9.0, 80.0, 90.0), (160, 90), BoxScale((90.0, 90.0), FRAME)) == (
        [0.1, 0.1, 0.5, 1.0],
        False,
    )


@pytest.mark.parametrize("scale", [None, BoxScale((960.0, 720.0)), BoxScale((960.0, 720.0), FRAME)])
def test_a_box_that_leaves_the_frame_is_refused_where_its_frames_are_not_known(
    scale: BoxScale | None,
) -> None:
    with pytest.raises(ClipError, match="measured in frames of another size"):
        box_fractions(BOX, (640, 480), scale)


def test_a_box_may_leave_the_frame_by_rounding() -> None:
    assert box_fractions((-1.0, 0.0, 101.5, 50.0), (100, 50)) == ([0.0, 0.0, 1.0, 1.0], False)
    with pytest.raises(ClipError, match="outside"):
        box_fractions((100.5, 0.0, 101.5, 50.0), (100, 50))


def test_how2sign_with_smaller_copies_of_its_videos(tmp_path: Path) -> None:
    write(tmp_path / "v-1-rgb_front_clip0.mp4", signing(5, (192, 108)))
    write(tmp_path / "v-1-rgb_front_clip1.mp4", signing(5, (192, 144)))
    boxes = {
        f"v-1-rgb_front_clip{number}.mp4": dict(zip(("x1", "y1", "x2", "y2"), BOX, strict=True))
        for number in range(2)
    }
    content = pickle.dumps({**boxes, "v-1-rgb_front_clip2.mp4": {"x1": 3}})
    (tmp_path / "how2sign_bounding_box_val.pkl").write_bytes(content)
    rows = "".join(f"v\tv-1-rgb_front\tv_{n}-1-rgb_front\t0\t1\ta sentence {n}\n" for n in range(2))
    (tmp_path / "how2sign_realigned_val.csv").write_text(HOW2SIGN + rows)
    summary = read_corpus(tmp_path / "how2sign_realigned_val.csv", tmp_path / "corpus", settings=FAST)
    (clip,) = Corpus(tmp_path / "corpus").clips()
    assert clip.crop == FRACTIONS
    assert (summary.done, summary.quarantined) == (1, 1)
    assert summary.details["notes"] == {SCALED: 1, NO_ENTRY: 1}
    assert "another size" in next(iter(summary.details["reasons"]))


def test_wlasl_with_a_smaller_copy_of_a_video(tmp_path: Path) -> None:
    write(tmp_path / "videos/1.mp4", signing(5, (64, 48)))
    instance = {"frame_start": 1, "frame_end": -1, "video_id": "1", "split": "train"}
    boxes = [[8, 4, 40, 44], [0, 0, 320, 240], [8, 4, 8, 44], [1, 2, 3]]
    listed = [{**instance, "bbox": box} for box in boxes]
    (tmp_path / "WLASL_v0.3.json").write_text(json.dumps([{"gloss": "book", "instances": listed}]))
    summary = read_corpus(tmp_path / "WLASL_v0.3.json", tmp_path / "corpus", settings=FAST)
    crops = [clip.crop for clip in Corpus(tmp_path / "corpus").clips()]
    assert crops == [[0.125, 0.08333, 0.625, 0.91667], None, None]
    assert summary.details["notes"] == {NO_BOX: 2}
    (reason,) = summary.details["reasons"]
    assert reason.startswith("the signer's box (0, 0, 320, 240) leaves the frame of 64 x 48")


def test_boxes_in_fractions_that_are_none_are_told(tmp_path: Path) -> None:
    sign = {"clean_text": "a", "text": "a", "url": "x", "file": "a.mp4", "start_time": 0, "end_time": 1}
    boxes = [[0.1, 0.2, 0.9, 0.7], [-0.02, 0.0, 1.01, 0.5], [36, 64, 324, 448], [0.5, 0.5, 0.5, 0.9], None]
    (tmp_path / "MSASL_val.json").write_text(json.dumps([{**sign, "box": box} for box in boxes]))
    rows = find_reader(tmp_path / "MSASL_val.json").read(tmp_path / "MSASL_val.json", None)
    assert [row.crop for row in rows.good] == [(0.2, 0.1, 0.7, 0.9), (0.0, 0.0, 0.5, 1.0), None, None, None]
    assert rows.notes == {NO_BOX: 2}
    (tmp_path / "bbox.json").write_text(json.dumps({"v": [0.1, 0.2, 0.9, 0.7], "w": [100, 20, 900, 700]}))
    table = (
        "vid\tyid\tstart\tend\tsplit\traw-text\nv\ty\t0\t1\tval\tsome words\nw\ty\t1\t2\tval\tmore words\n"
    )
    (tmp_path / "openasl-v1.0.tsv").write_text(table)
    rows = find_reader(tmp_path / "openasl-v1.0.tsv").read(tmp_path / "openasl-v1.0.tsv", None)
    assert [row.crop for row in rows.good] == [(0.1, 0.2, 0.9, 0.7), None]
    assert rows.notes == {NO_BOX: 1}
