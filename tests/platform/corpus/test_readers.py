"""Each format's rows come out exactly; what is hostile is refused and never run."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from eaf_sample import EAF
from PIL import Image
from sample_videos import signing, write

from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.corpus.readers import FORMATS, MODULES, find_reader
from cico_platform.corpus.readers.restricted_pickle import load_data
from cico_platform.errors import InputError


def test_how2sign(shared_dir: Path, tmp_path: Path) -> None:
    samples = shared_dir / "samples"
    for name in ("how2sign_realigned_test.csv", "how2sign_bounding_box_test.pkl"):
        shutil.copy(samples / name, tmp_path)
    source = tmp_path / "how2sign_realigned_test.csv"
    lines = source.read_text().splitlines()
    (tmp_path / "-fZc293MpJk-1-rgb_front.mp4").touch()
    (tmp_path / "-fZc293MpJk_2-1-rgb_front.mp4").touch()
    assert find_reader(source).name == "how2sign"
    rows = find_reader(source).read(source, None)
    assert not rows.bad
    quoted = re.compile(r'"(.*)"')
    cells = [line.split("\t")[6] for line in lines[1:]]
    texts = [quoted.sub(r"\1", cell).replace('""', '"') if cell.startswith('"') else cell for cell in cells]
    assert [row.text for row in rows.good] == texts
    first, second = rows.good[:2]
    assert (first.file, first.start, first.end) == ("-fZc293MpJk-1-rgb_front.mp4", 0.26, 6.79)
    assert (second.file, second.start) == ("-fZc293MpJk_2-1-rgb_front.mp4", None)
    box = load_data(tmp_path / "how2sign_bounding_box_test.pkl")["-fZc293MpJk-1-rgb_front_clip1.mp4"]
    assert second.pixel_box == (box["x1"], box["y1"], box["x2"], box["y2"])
    assert (first.split, first.signer, first.sign_language) == ("test", "1", "ase")
    assert first.licence == "CC BY-NC 4.0"


def test_cico_pickles(shared_dir: Path) -> None:
    for name in ("csl_daily", "how2sign", "phoenix2014t"):
        source = shared_dir / f"samples/cico_{name}_test.pkl"
        data: dict[str, Any] = load_data(source)
        entries = [e for v in data.values() for e in (v if isinstance(v, list) else [v])]
        assert find_reader(source).name == "cico"
        rows = find_reader(source).read(source, None)
        assert [(row.video_id, row.text) for row in rows.good] == [
            (e["video_name"], e["text"]) for e in entries
        ]
        assert {row.split for row in rows.good} == {"test"}
        assert not rows.bad


@pytest.mark.usefixtures("ray_cluster")
def test_phoenix2014t_with_its_folders_of_frames(tmp_path: Path) -> None:
    source = tmp_path / "PHOENIX-2014-T.dev.corpus.csv"
    source.write_text(
        "name|video|start|end|speaker|orth|translation\n"
        "11August_2010-1|11August_2010-1/1/*.png|-1|-1|Signer08|JETZT WETTER|und nun die wettervorhersage\n"
        "gone|gone/1/*.png|-1|-1|Signer01|X|schöne grüße\nshort|row\n",
        encoding="utf-8",
    )
    frames = tmp_path / "features/fullFrame-210x260px/dev/11August_2010-1"
    frames.mkdir(parents=True)
    for number, frame in enumerate(signing(20, move=(2, 15))):
        Image.fromarray(frame).save(frames / f"images{number + 1:04d}.png")
    summary = read_corpus(source, tmp_path / "corpus", settings=ReadSettings(trim=False))
    assert (summary.done, summary.quarantined, summary.details["format"]) == (1, 2, "phoenix2014t")
    (clip,) = Corpus(tmp_path / "corpus").clips()
    assert (clip.text, clip.signer, clip.split) == ("und nun die wettervorhersage", "Signer08", "validation")
    assert (clip.frames, clip.language, clip.label) == (20, "de", None)


def test_csl_daily(tmp_path: Path) -> None:
    record = {
        "name": "S000020_P0000_T00",
        "signer": 0,
        "label_gloss": ["他"],
        "label_char": list("他今年四岁。"),
    }
    source = tmp_path / "csl2020ct_v2.pkl"
    source.write_bytes(pickle.dumps({"info": [record, {"name": "bad"}], "gloss_map": []}))
    (tmp_path / "split_1.txt").write_text("name|split\nS000020_P0000_T00|dev\n")
    (tmp_path / "sentence_frames-512x512/S000020_P0000_T00").mkdir(parents=True)
    assert find_reader(source).name == "csl-daily"
    rows = find_reader(source).read(source, None)
    (row,) = rows.good
    assert (row.text, row.split, row.signer) == ("他今年四岁。", "validation", "0")
    assert row.file == "sentence_frames-512x512/S000020_P0000_T00"
    assert len(rows.bad) == 1


def test_openasl(tmp_path: Path) -> None:
    source = tmp_path / "openasl-v1.0.tsv"
    source.write_text(
        "vid\tyid\tstart\tend\tsplit\traw-text\ttokenized-text\n"
        "a:1\ta\t00:00:01.500\t00:00:03.000\tvalid\tHello, all.\thello , all .\n"
        "b\tb\t0\t1\ttest\tGone\tgone\n"
    )
    (tmp_path / "bbox-v1.0.json").write_text(json.dumps({"a:1": [0.1, 0.0, 0.6, 1.0], "b": "x"}))
    (tmp_path / "a.mp4").touch()
    assert find_reader(source).name == "openasl"
    row, gone = find_reader(source).read(source, None).good
    assert (row.file, row.start, row.end) == ("a.mp4", 1.5, 3.0)
    assert (row.crop, row.split, row.text) == ((0.1, 0.0, 0.6, 1.0), "validation", "Hello, all.")
    assert (gone.file, gone.start, gone.crop) == ("b.mp4", None, None)


def test_subtitles(tmp_path: Path) -> None:
    write(tmp_path / "talk.mp4", signing(5))
    (tmp_path / "talk.en.vtt").write_text(
        "\ufeffWEBVTT\r\n\r\nNOTE nothing\r\n\r\n1\r\n00:01.000 --> 00:02.500 align:start\r\n"
        "<v Ann>Good\r\nday</v>"
        "\r\n\r\n00:02.000 --> 00:03.000\r\nOverlapping\r\n\r\n00:05.000 --> 00:04.000\r\nBackwards\r\n\r\n"
        "soon --> later\r\nNever\r\n"
    )
    (tmp_path / "other.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nText\n\n2\n")
    assert find_reader(tmp_path).name == "subtitles"
    rows = find_reader(tmp_path).read(tmp_path, None)
    assert [(r.file, r.text, r.start, r.end, r.language) for r in rows.good] == [
        ("other.mp4", "Text", 1.0, 2.0, None),
        ("talk.mp4", "Good day", 1.0, 2.5, "en"),
        ("talk.mp4", "Overlapping", 2.0, 3.0, "en"),
    ]
    assert len(rows.bad) == 2


def test_elan(tmp_path: Path) -> None:
    (tmp_path / "session.eaf").write_text(EAF)
    (tmp_path / "film 1.mp4").touch()
    assert find_reader(tmp_path).name == "elan"
    rows = find_reader(tmp_path).read(tmp_path, None)
    (row,) = rows.good
    assert (row.file, row.text, row.start, row.end) == ("film 1.mp4", "I go home.", 0.2, 0.8)
    assert (row.signer, row.language) == ("Ann", "en")
    assert [bad.reason for bad in rows.bad] == ["the annotation has no times"]
    (tmp_path / "session.eaf").write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + EAF)
    (bad,) = find_reader(tmp_path).read(tmp_path, None).bad
    assert "entities" in bad.reason


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_never_runs_code(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps({"a": [Hostile(tmp_path / "run")]}))
    for name in ("cico", "csl-daily"):
        with pytest.raises(InputError, match="only plain data"):
            find_reader(path, name).read(path, None)
    with pytest.raises(InputError):
        find_reader(path)
    assert not (tmp_path / "run").exists()


def test_every_listed_format_has_a_reader() -> None:
    assert ("auto", *(module.NAME for module in MODULES)) == FORMATS
