"""A folder of clips becomes a corpus, and isolated signs become sentences, with every clip accounted for."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cico_command import Cico
from numbered_videos import Kind
from numbered_videos import write as write_numbered
from sample_videos import signing, write, write_sound

from cico_platform.corpus.clip_keys import clip_keys
from cico_platform.corpus.compose import ComposeSettings, compose_sentences
from cico_platform.corpus.inspect import inspect_corpus
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.corpus.splits import assign_splits
from cico_platform.corpus.text import is_single_word
from cico_platform.corpus.video import decode_clip
from cico_platform.errors import CicoError, InputError

pytestmark = pytest.mark.usefixtures("ray_cluster")
WORDS = ["home", "tree", "water", "go", "eat", "you", "see", "big"]
SMALL = ComposeSettings(train=12, validation=4, test=5, shortest=3, longest=4, size=64, takes=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight words and five damaged files, three of them named in the table."""
    folder = tmp_path_factory.mktemp("clips")
    lines = ["file,word,signer,licence"]
    for number, word in enumerate(WORDS):
        write(folder / f"{word}.mp4", signing(36, move=(6, 20 + number), seed=number))
        lines.append(f"{word}.mp4,{word.title()},ann,MIT")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("hello")
    (folder / "cut.mp4").write_bytes((folder / "home.mp4").read_bytes()[:2000])
    write_sound(folder / "sound.mp4")
    write(folder / "one.mp4", signing(1))
    lines += [
        "empty.mp4,void,,",
        "sound.mp4,noise,,",
        "one.mp4,one,,",
        "gone.mp4,gone,,",
        "../x.mp4,x,,",
        "odd",
    ]
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def corpus(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("work") / "corpus"
    summary = read_corpus(clips / "labels.csv", out)
    assert (summary.done, summary.skipped, summary.quarantined) == (9, 0, 5)
    assert summary.details["unlisted_files"] == 2
    return out


def test_good_clips_are_found_boxed_and_trimmed(corpus: Path) -> None:
    rows = {clip.video_id: clip for clip in Corpus(corpus).clips()}
    assert set(rows) == {*WORDS, "one"}
    home = rows["home"]
    assert (home.label, home.text, home.text_original) == ("home", "home", "Home")
    assert (home.signer, home.licence, home.split) == ("ann", "MIT", "train")
    assert home.crop is not None
    assert home.crop[2] < 0.5
    part = decode_clip(Corpus(corpus).resolve(home), start=home.start, end=home.end, crop=home.crop, size=32)
    assert len(part.frames) == home.frames
    assert 14 <= home.frames < 30
    assert rows["one"].frames == 1


def test_the_manifest_knows_the_files_that_its_keys_were_made_from(corpus: Path) -> None:
    table = pq.read_table(corpus / "manifest.parquet")
    keys = clip_keys(Corpus(corpus), list(Corpus(corpus).clips()))
    assert dict(zip(table["video_id"].to_pylist(), table["clip_key"].to_pylist(), strict=True)) == keys
    for row in table.select(["path", "file_size", "file_time"]).to_pylist():
        found = Path(row["path"]).stat()
        known = (row["file_size"], row["file_time"])
        # A folder of frames has no size of its own.
        assert known == ((None, None) if Path(row["path"]).is_dir() else (found.st_size, found.st_mtime_ns))


def test_every_other_row_is_in_quarantine_with_its_reason(corpus: Path) -> None:
    reasons = {row["path"]: row["reason"] for row in Corpus(corpus).quarantined("read")}
    assert set(reasons) == {"empty.mp4", "sound.mp4", "gone.mp4", "../x.mp4", "odd"}
    assert reasons["gone.mp4"] == "the file does not exist"
    assert reasons["sound.mp4"] == "no video stream"


def test_reading_again_reads_nothing(clips: Path, corpus: Path) -> None:
    summary = read_corpus(clips / "labels.csv", corpus)
    assert (summary.done, summary.skipped, summary.quarantined) == (0, 9, 5)


def test_a_bare_folder_is_a_corpus_too(clips: Path, tmp_path: Path) -> None:
    summary = read_corpus(clips, tmp_path / "corpus")
    assert (summary.done, summary.quarantined) == (9, 4)
    assert summary.details["isolated"]
    assert {clip.text for clip in Corpus(tmp_path / "corpus").clips()} == {*WORDS, "one"}


def test_texts_are_clean_and_shown_without_what_nobody_sees(clips: Path, tmp_path: Path) -> None:
    written = ["&amp;quot;I go\u200b  HOME&amp;quot;", "\ufeff“i go home”\u00ad", "&amp;nbsp;", "\u3164"]
    lines = [json.dumps({"file": f"{WORDS[i]}.mp4", "text": text}) for i, text in enumerate(written)]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    summary = read_corpus(tmp_path / "labels.jsonl", tmp_path / "corpus", videos=clips)
    assert (summary.done, summary.quarantined) == (2, 2)
    assert {row["reason"] for row in Corpus(tmp_path / "corpus").quarantined("read")} == {"the text is empty"}
    rows = list(Corpus(tmp_path / "corpus").clips(labelled=False))
    assert [clip.text for clip in rows] == ['"i go home"'] * 2
    assert len({clip.text_id for clip in rows}) == 1
    assert [clip.text_original for clip in rows] == ['"I go HOME"', "“i go home”"]


def test_what_a_reader_noted_is_in_the_summary(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "home.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nI go\n\nhome\n")
    summary = read_corpus(tmp_path / "home.srt", tmp_path / "corpus", videos=clips)
    assert [clip.text for clip in Corpus(tmp_path / "corpus").clips(labelled=False)] == ["i go home"]
    assert list(summary.details["notes"].values()) == [1]
    (note,) = summary.details["notes"]
    assert "empty line" in note


def test_sentences_are_split_by_text(clips: Path, tmp_path: Path) -> None:
    texts = [f"this is sentence {i // 2}" for i in range(40)]
    lines = [json.dumps({"file": f"{WORDS[i % 8]}.mp4", "text": text}) for i, text in enumerate(texts)]
    table = tmp_path / "labels.jsonl"
    table.write_text("\n".join(lines))
    summary = read_corpus(table, tmp_path / "corpus", videos=clips)
    rows = list(Corpus(tmp_path / "corpus").clips(labelled=False))
    assert summary.done == len(rows) == 40
    assert Counter(clip.split for clip in rows) == {"train": 32, "validation": 4, "test": 4}
    assert len({(clip.text_id, clip.split) for clip in rows}) == 20


def test_a_text_that_has_a_split_draws_its_other_clips_along() -> None:
    def clip(name: str, text_id: str, split: str = "", label: str | None = None) -> Clip:
        return Clip(name, text_id, split, name, text_id, text_id, label=label)  # type: ignore[arg-type]

    sentences = [clip("a", "t1", "test"), clip("b", "t1"), clip("c", "t2")]
    assert [c.split for c in assign_splits(sentences, ReadSettings())][:2] == ["test", "test"]
    signs = [clip(f"{word}{i}", word, label=word) for word in ("x", "y") for i in range(10)] + [
        clip("z", "z", label="z")
    ]
    assigned = assign_splits(signs, ReadSettings())
    assert Counter(c.split for c in assigned if c.label == "x") == {"train": 8, "validation": 1, "test": 1}
    assert assigned[-1].split == "train"


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,text\na.mp4,x\n")
    with pytest.raises(CicoError, match="does not exist"):
        read_corpus(tmp_path / "labels.csv", tmp_path / "corpus")
    with pytest.raises(InputError, match="videos' folder"):
        read_corpus(tmp_path / "labels.csv", tmp_path / "corpus", videos=tmp_path / "nowhere")


def test_composed_sentences_are_real_videos_of_unseen_words_in_new_orders(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "composed"
    summary = compose_sentences(corpus, out, SMALL)
    made = Corpus(out)
    sentences, signs = list(made.clips(labelled=False)), list(made.clips(labelled=True))
    assert summary.done == len(sentences) + len(signs)
    assert Counter(clip.split for clip in sentences) == {"train": 12, "validation": 4, "test": 5}
    assert len({clip.text for clip in sentences}) == 21
    learned = {word for clip in sentences if clip.split == "train" for word in clip.text.split()}
    assert learned >= {word for clip in sentences for word in clip.text.split()}
    assert {clip.label for clip in signs} == {*WORDS, "one"}
    assert len(signs) == 2 * 9
    for clip in sentences[:3] + signs[:3]:
        frames = decode_clip(made.resolve(clip)).frames
        assert frames.shape == (clip.frames, 64, 64, 3)
    assert all(3 <= len(clip.text.split()) <= 4 for clip in sentences)
    assert {clip.licence for clip in sentences} <= {"MIT", None}
    assert not list(out.glob(".*"))


def test_composing_is_reproducible_and_the_seed_matters(corpus: Path, tmp_path: Path) -> None:
    few = SMALL.model_copy(update={"train": 6, "validation": 1, "test": 1, "takes": 1})
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        compose_sentences(corpus, tmp_path / name, few.model_copy(update={"seed": seed}))
    a, b, c = (list(Corpus(tmp_path / name).clips()) for name in "abc")
    assert a == b
    assert [clip.text for clip in a] != [clip.text for clip in c]
    once, again = (decode_clip(tmp_path / name / a[0].path).frames.astype(int) for name in "ab")
    assert abs(once - again).mean() < 0.5  # x264 may spell equal pictures in different bits


def test_reading_and_composing_tell_how_far_they_are(clips: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []

    def tell(done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = "") -> None:
        told.append((done, total, quarantined))

    read_corpus(clips / "labels.csv", tmp_path / "corpus", on_progress=tell)
    assert (told[0], told[-1][:2]) == ((0, told[-1][1], 0), (told[-1][1], told[-1][1]))
    assert [done for done, _, _ in told] == list(range(told[-1][1] + 1))
    told.clear()
    few = SMALL.model_copy(update={"train": 6, "validation": 1, "test": 1, "takes": 1})
    summary = compose_sentences(tmp_path / "corpus", tmp_path / "composed", few, tell)
    done = [count for count, _, _ in told]
    assert done == sorted(done)
    # Nine clips are cut, then all videos rendered.
    assert told[-1] == (9 + summary.done, 9 + summary.done, 0)
    assert all(count <= total for count, total, _ in told)


def test_a_clip_that_vanished_is_quarantined_and_no_sentence_uses_it(clips: Path, tmp_path: Path) -> None:
    copy = tmp_path / "clips"
    shutil.copytree(clips, copy)
    read_corpus(copy / "labels.csv", tmp_path / "corpus")
    (copy / "tree.mp4").unlink()
    summary = compose_sentences(tmp_path / "corpus", tmp_path / "composed", SMALL)
    assert summary.quarantined == 1
    (row,) = Corpus(tmp_path / "composed").quarantined("compose")
    assert (row["video_id"], row["reason"]) == ("tree", "the file does not exist")
    assert not any("tree" in clip.text for clip in Corpus(tmp_path / "composed").clips())


def test_sentences_cannot_be_composed_from(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,text\nhome.mp4,i go home\n")
    read_corpus(tmp_path / "labels.csv", tmp_path / "corpus", videos=clips)
    with pytest.raises(InputError, match="no isolated signs"):
        compose_sentences(tmp_path / "corpus", tmp_path / "composed", SMALL)


def test_inspecting_counts_what_is_there_and_draws_it(corpus: Path, tmp_path: Path) -> None:
    found = inspect_corpus(corpus, tmp_path / "sheet.png")
    assert (found["rows"], found["quarantined"], found["isolated"]) == (9, 5, 9)
    assert found["signers"] == {"ann": 8, "(none)": 1}
    assert found["licences"]["MIT"] == 8
    assert found["missing"]["language"] == 9
    assert any(row["video_id"] == "one" for row in found["strangest"])
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    json.dumps(found)


def test_words_and_texts_are_told_apart_in_any_script() -> None:
    assert is_single_word("9")
    assert not is_single_word("hello there")
    assert not is_single_word("今天星期几")
    assert is_single_word("你好")
    assert is_single_word("โรงเรียน"), "one word of eight characters"
    assert not is_single_word("ฉันไปโรงเรียน")
    assert is_single_word("नमस्ते")
    assert not is_single_word("नमस्ते।")


def test_clips_that_lack_frames_are_counted_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_numbered(videos / "whole.mp4", Kind("mp4"), 100)
    cut = write_numbered(videos / "cut.mkv", Kind("mkv", keys=10), 100)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    (videos / "labels.csv").write_text(
        "file,text,start,end\nwhole.mp4,nothing is missing here,1,2\ncut.mkv,the end is missing here,,\n"
        "whole.mp4,the picture ends before,3,9\n"
    )
    told = Cico(capfd)("corpus", "read", videos / "labels.csv", "--out", tmp_path / "corpus", "--json")
    summary = json.loads(told.stdout.splitlines()[-1])
    assert (summary["done"], summary["truncated"], summary["short"]) == (3, 1, 1)
    assert "1 truncated" in told.stderr
    assert "1 short" in told.stderr
    rows = {clip.text: clip for clip in Corpus(tmp_path / "corpus").clips()}
    lacks = {text: (clip.truncated, clip.short) for text, clip in rows.items()}
    assert lacks == {
        "nothing is missing here": (False, False),
        "the end is missing here": (True, False),
        "the picture ends before": (False, True),
    }
    found = inspect_corpus(tmp_path / "corpus")
    assert (found["truncated"], found["short"]) == (1, 1)
    inspected = Cico(capfd)("corpus", "inspect", tmp_path / "corpus")
    assert "cico corpus frames" in inspected.stderr
    video_id = rows["the picture ends before"].video_id
    shown = Cico(capfd)("corpus", "frames", tmp_path / "corpus", video_id, "--out", tmp_path / "f", "--json")
    assert shown.returncode == 0
    about = json.loads((tmp_path / "f" / "frames.json").read_text())
    assert about["source_frames"] == list(range(75, 100))
    assert json.loads(shown.stdout)["times"] == about["times"]
