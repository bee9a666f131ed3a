"""The files of the three corpora are found in their true layouts, and what is missing is named."""

import shutil
from pathlib import Path

import pytest
from miniatures import Sizes, csl_daily, how2sign, phoenix2014t

from cico_platform.reproduce.folders import look_around
from cico_platform.reproduce.recipes import RECIPES
from cico_platform.reproduce.sources import Sources, find_sources

MAKERS = {"how2sign": how2sign, "phoenix2014t": phoenix2014t, "csl-daily": csl_daily}


def found(name: str, root: Path, texts: str = "translated") -> Sources:
    return find_sources(RECIPES[name], root, texts)  # type: ignore[arg-type]


def needed(sources: Sources) -> list[str]:
    return [missing.what for missing in sources.missing if missing.needed]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("how2sign", {"train": 8, "validation": 4, "test": 6}),
        ("phoenix2014t", {"train": 4, "validation": 2, "test": 3}),
        ("csl-daily", {"train": 5, "validation": 2, "test": 4}),
    ],
)
def test_a_download_is_found_whole(tmp_path: Path, name: str, rows: dict[str, int]) -> None:
    sources = found(name, MAKERS[name](tmp_path / "root"))
    assert sources.rows == rows
    assert not needed(sources)
    assert all(not table.without_video for table in sources.tables)
    boxed = {table.name: table.boxed for table in sources.tables}
    assert boxed == (
        {"train": 8, "validation": 0, "test": 6} if name == "how2sign" else dict.fromkeys(boxed, 0)
    )


@pytest.mark.parametrize("name", MAKERS)
def test_of_an_empty_folder_all_is_missing(tmp_path: Path, name: str) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        told = needed(found(name, root))
        assert any("train split" in what for what in told)
        assert any("test split" in what for what in told)
        assert any("nowhere" in what for what in told) == (root != tmp_path)


def test_what_a_download_lacks_is_named(tmp_path: Path) -> None:
    root = how2sign(tmp_path, boxes=())
    (root / "how2sign_realigned_val.csv").unlink()
    shutil.rmtree(root / "raw_videos" / "test")
    (root / "raw_videos" / "train" / "train1-1-rgb_front.mp4").unlink()
    sources = found("how2sign", root)
    assert needed(sources) == ["videos or frames of the test split, of 'how2sign_realigned_test.csv'"]
    told = [missing.what for missing in sources.missing]
    assert any("2 of 8 sentences of 'how2sign_realigned_train.csv'" in what for what in told)
    assert any("a part of the training texts is the validation split" in what for what in told)
    assert any("bounding_box" in what and "how2sign_realigned_train.csv" in what for what in told)


def test_without_the_translations_the_original_texts_remain(tmp_path: Path) -> None:
    root = phoenix2014t(tmp_path)
    shutil.rmtree(root / "data_ph")
    assert any("data_ph" in what for what in needed(found("phoenix2014t", root)))
    assert not needed(found("phoenix2014t", root, "original"))


def test_the_official_splits_of_csl_daily_are_needed(tmp_path: Path) -> None:
    root = csl_daily(tmp_path)
    (root / "sentence_label" / "split_1.txt").unlink()
    (what,) = needed(found("csl-daily", root))
    assert "csl2020ct_v2.pkl: split_1.txt beside it" in what


def test_where_there_are_only_cicos_pickles_they_are_the_tables(tmp_path: Path) -> None:
    root = csl_daily(tmp_path)
    shutil.rmtree(root / "sentence_label")
    sources = found("csl-daily", root)
    assert {table.format for table in sources.tables} == {"cico"}
    assert sources.rows == {"train": 5, "test": 4}
    assert not needed(sources)


def test_a_table_that_is_passed_over_is_told(tmp_path: Path) -> None:
    sources = found("phoenix2014t", phoenix2014t(tmp_path, Sizes(train=2)))
    (note,) = sources.notes
    assert "train-complex-annotation" in note
    train = next(table for table in sources.tables if table.name == "train")
    assert train.path.name == "PHOENIX-2014-T.train.corpus.csv"


def test_clips_that_cicos_script_has_cut_are_found_by_their_numbers(tmp_path: Path) -> None:
    root = how2sign(tmp_path)
    for video in [*root.glob("raw_videos/*/*.mp4")]:
        for number in (0, 1):
            clip = root / "processed_videos" / video.parent.name / f"{video.stem}_clip{number}.mp4"
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.touch()
    shutil.rmtree(root / "raw_videos")
    sources = found("how2sign", root)
    assert sources.rows == {"train": 8, "validation": 4, "test": 6}
    assert {table.videos.parent.name for table in sources.tables} == {"processed_videos"}


def test_frames_and_what_a_step_wrote_are_not_looked_through(tmp_path: Path) -> None:
    root = phoenix2014t(tmp_path)
    output = root / "reproduce" / "phoenix2014t" / "corpus"
    output.mkdir(parents=True)
    (output / "step.json").write_text("{}")
    shutil.copy(next(root.rglob("PHOENIX-2014-T.train.corpus.csv")), output / "a.train.csv")
    frames = next(root.rglob("*tagesschau-0"))
    shutil.copy(next(root.rglob("PHOENIX-2014-T.train.corpus.csv")), frames / "b.train.csv")
    looked = look_around(root)
    assert {path.name for path in looked.tables} == {
        "dev.pkl", "test.pkl", "train.pkl", "PHOENIX-2014-T.dev.corpus.csv",
        "PHOENIX-2014-T.test.corpus.csv", "PHOENIX-2014-T.train.corpus.csv",
        "PHOENIX-2014-T.train-complex-annotation.corpus.csv",
    }  # fmt: skip
    assert {folder.name for folder in looked.media} == {"train", "dev", "test"}
