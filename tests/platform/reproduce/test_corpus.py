"""The corpus of a reproduction has the splits, texts and sentences of the published protocol."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from miniatures import FRAMES, csl_daily, how2sign, phoenix2014t

from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.corpus.manifest_rows import keys_of_unchanged
from cico_platform.corpus.read import read_corpus
from cico_platform.errors import InputError
from cico_platform.reproduce.corpus import Choices, build_corpus
from cico_platform.reproduce.recipes import RECIPES, Texts
from cico_platform.reproduce.settings import reading
from cico_platform.reproduce.sources import find_sources
from cico_platform.steps import Summary


def built(name: str, root: Path, out: Path, texts: Texts = "translated") -> tuple[Summary, list[Clip]]:
    recipe = RECIPES[name]
    sources = find_sources(recipe, root, texts)
    parts = {}
    for table in sources.tables:
        searched = recipe.boxed and not table.boxed
        parts[table.name] = out / "read" / table.name
        read_corpus(table.path, parts[table.name], table.format, table.videos, reading(recipe, searched))
    summary = build_corpus(recipe, sources, parts, out / "corpus", Choices(texts, 0.3, 0))
    return summary, list(Corpus(out / "corpus").clips())


def of_split(clips: list[Clip], split: str) -> list[Clip]:
    return [clip for clip in clips if clip.split == split]


def texts_of(clips: list[Clip]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for clip in clips:
        groups.setdefault(clip.text_id, set()).add(clip.video_id)
    return groups


def test_how2sign_sentences_are_texts_and_clips_are_cut_to_their_boxes(tmp_path: Path) -> None:
    root = how2sign(tmp_path / "root")
    boxes = pickle.loads((root / "bounding_box_coco_test.pkl").read_bytes())
    del boxes["test1-1-rgb_front_clip0.mp4"]
    (root / "bounding_box_coco_test.pkl").write_bytes(pickle.dumps(boxes))
    summary, clips = built("how2sign", root, tmp_path)
    test = of_split(clips, "test")
    assert sorted(map(sorted, texts_of(test).values())) == [
        ["test0_0-1-rgb_front", "test0_0-5-rgb_front"],
        ["test0_1-1-rgb_front", "test0_1-5-rgb_front"],
        ["test1_1-1-rgb_front"],
    ], "a sentence that two people signed is one text, and the clip without a box is left out"
    assert summary.details["splits"]["test"] == {"texts": 3, "videos": 5}
    (left_out,) = Corpus(tmp_path / "corpus").quarantined("reproduce-corpus")
    assert left_out["video_id"] == "test1_0-1-rgb_front"
    for clip in test:
        assert clip.crop == pytest.approx([4 / 72, 2 / 64, 64 / 72, 62 / 64], abs=1e-4)
    assert not keys_of_unchanged(tmp_path / "corpus", np.arange(len(clips))).null_count
    assert len(texts_of(of_split(clips, "train"))) == 5, "equal training texts are one"
    assert len(texts_of(of_split(clips, "validation"))) == 4, (
        "equal validation texts of two sentences are two"
    )
    assert not summary.details["held_out"]
    assert {clip.text_original for clip in test if clip.video_id.startswith("test0_0")} == {'He said "hi".'}


@pytest.mark.parametrize(
    ("texts", "said", "language"),
    [("translated", "Good evening", "en"), ("original", "guten abend", "de")],
)
def test_phoenix_has_the_official_splits_with_either_text(
    tmp_path: Path, texts: Texts, said: str, language: str
) -> None:
    summary, clips = built("phoenix2014t", phoenix2014t(tmp_path / "root"), tmp_path, texts)
    assert summary.details["splits"] == {
        "test": {"texts": 3, "videos": 3},
        "train": {"texts": 4, "videos": 4},
        "validation": {"texts": 2, "videos": 2},
    }, "equal texts of two test sentences are two texts"
    assert [clip.text_original for clip in of_split(clips, "test")][1:] == [said, said]
    assert {clip.language for clip in clips} == {language}
    assert all(clip.crop is None and clip.frames == FRAMES for clip in clips)


def test_phoenix_from_cicos_pickles_alone_takes_the_training_sentences_out_of_dev(tmp_path: Path) -> None:
    root = phoenix2014t(tmp_path / "root")
    for table in root.rglob("*.corpus.csv"):
        table.unlink()
    videos = next(root.rglob("fullFrame-210x260px"))
    for folder in [*videos.glob("*/*")]:  # as `gather_frames` puts them, in one folder
        folder.rename(videos / folder.name)
    summary, clips = built("phoenix2014t", root, tmp_path)
    assert [clip.video_id[:2] for clip in of_split(clips, "validation")] == ["11", "11"]
    assert summary.details["splits"]["train"]["videos"] == 4
    assert summary.details["reasons"] == {"it is a training sentence, too": 4}


def test_csl_daily_holds_training_texts_out_where_dev_has_no_translation(tmp_path: Path) -> None:
    root = csl_daily(tmp_path / "root")
    summary, clips = built("csl-daily", root, tmp_path)
    assert summary.details["held_out"]
    validation, train = of_split(clips, "validation"), of_split(clips, "train")
    assert not {clip.text for clip in validation} & {clip.text for clip in train}
    assert len({clip.text for clip in validation}) == 1
    assert len(validation) + len(train) == 5
    assert summary.details["splits"]["test"] == {"texts": 3, "videos": 4}
    assert {clip.language for clip in clips} == {"en"}
    assert summary.quarantined == 2
    original, clips = built("csl-daily", root, tmp_path / "original", "original")
    assert not original.details["held_out"]
    assert [clip.text for clip in of_split(clips, "validation")] == ["今天第0天习。", "今天第1天习。"]


def test_a_sentence_in_training_and_in_test_is_refused(tmp_path: Path) -> None:
    root = phoenix2014t(tmp_path / "root")
    tables = {path.name.split(".")[1]: path for path in root.rglob("PHOENIX-2014-T.t*.corpus.csv")}
    line = tables["train"].read_text().splitlines()[1]
    with tables["test"].open("a") as file:
        file.write(line + "\n")
    frames = next(root.rglob("train"))
    name = line.split("|")[0]
    shutil.copytree(frames / name, frames.parent / "test" / name)
    with pytest.raises(InputError, match="is in the training and in the test split"):
        built("phoenix2014t", root, tmp_path)
