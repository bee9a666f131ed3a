"""Hostile annotation files, random bytes or in a true form: an error or a bad row, nothing else."""

import contextlib
import json
import pickle
from collections.abc import Callable

import pytest
from eaf_sample import EAF
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cico_platform.corpus.readers import find_reader
from cico_platform.corpus.readers.rows import locate
from cico_platform.corpus.text import LONGEST_TEXT
from cico_platform.errors import InputError

HEADS = {
    "how2sign": b"VIDEO_ID\tVIDEO_NAME\tSENTENCE_NAME\tSTART\tEND\tSENTENCE\n",
    "phoenix2014t": b"name|video|start|end|speaker|orth|translation\n",
    "openasl": b"vid\tyid\tstart\tend\tsplit\traw-text\n",
    "subtitles": b"WEBVTT\n\n00:01.000 --> 00:02.000\n",
    "elan": b"<ANNOTATION_DOCUMENT>",
    "cico": pickle.dumps({"a": {"video_name": "../x", "text": "y"}}),
    "csl-daily": pickle.dumps({"info": [{"name": "x", "label_char": ["y"]}]}),
    "msasl": b'[{"clean_text": "a", "text": "a", "url": "x", "file": "x", "start_time": 0, "end_time": 1}]',
    "wlasl": b'[{"gloss": "a", "instances": [{"video_id": "x", "frame_start": 1, "frame_end": -1}]}]',
    "asl-citizen": b"Participant ID,Video file,Gloss\nx,x.mp4,a\n",
}
SUFFIX = {
    "subtitles": ".vtt",
    "elan": ".eaf",
    "cico": ".pkl",
    "csl-daily": ".pkl",
    "msasl": ".json",
    "wlasl": ".json",
}


@pytest.mark.parametrize("name", HEADS)
def test_garbage_is_an_error_or_bad_rows_never_a_traceback(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("garbage") / f"x{SUFFIX.get(name, '.csv')}"

    @given(st.binary(max_size=200), st.integers(0, 60))
    @settings(max_examples=80, deadline=None)
    def survives(content: bytes, cut: int) -> None:
        for data in (content, HEADS[name] + content, HEADS[name][:cut] + content):
            path.write_bytes(data)
            try:
                rows = find_reader(path, name).read(path, None)
            except InputError:
                continue
            assert all(row.text and row.file for row in rows.good)
            assert all(bad.reason for bad in rows.bad)

    survives()


def stamp(value: str) -> str:
    """A time as subtitles write it, where it is a number at all."""
    try:
        return f"00:00:{float(value):06.3f}"
    except (ValueError, OverflowError):
        return value


def table(delimiter: str, *names: str) -> Callable[[dict[str, str], str], str]:
    def build(values: dict[str, str], between: str) -> str:
        lines = (names, [values[name.lower()] for name in names])
        return "".join(f"{(between or delimiter).join(line)}\n" for line in lines)

    return build


def subtitle(values: dict[str, str], between: str) -> str:
    cue = f"{stamp(values['start'])} --> {stamp(values['end'])}\n{values['sentence']}\n\n"
    return f"WEBVTT\n\n{cue}{cue}"


def annotation(values: dict[str, str], between: str) -> str:
    told = EAF.replace("film%201.mp4", values["sentence_name"]).replace('"200"', f'"{values["start"]}"')
    return told.replace("HOME", values["sentence"]).replace('"800"', f'"{values["end"]}"')


def sign(values: dict[str, str], between: str) -> str:
    named = {
        "file": values["file"],
        "url": values["file"],
        "text": values["text"],
        "clean_text": values["text"],
    }
    return json.dumps([{**named, "start_time": values["start"], "end_time": values["end"], "box": between}])


def instance(values: dict[str, str], between: str) -> str:
    frames = {
        "frame_start": number(values["start"]),
        "frame_end": number(values["end"]),
        "split": values["split"],
    }
    one = {"video_id": values["file"], "url": values["file"], "bbox": [between], **frames}
    return json.dumps([{"gloss": values["text"], "instances": [one]}])


def number(value: str) -> object:
    """A whole number where the value is one."""
    try:
        return int(value)
    except ValueError:
        return value


BUILDERS: dict[str, Callable[[dict[str, str], str], str]] = {
    "how2sign": table(
        "\t", "VIDEO_ID", "VIDEO_NAME", "SENTENCE_NAME", "START_REALIGNED", "END_REALIGNED", "SENTENCE"
    ),
    "phoenix2014t": table("|", "name", "video", "start", "end", "speaker", "orth", "translation"),
    "openasl": table("\t", "vid", "yid", "start", "end", "split", "raw-text"),
    "labels": table(",", "file", "text", "start", "end", "split"),
    "msasl": sign,
    "wlasl": instance,
    "subtitles": subtitle,
    "elan": annotation,
}
PATHS = (
    "clip",
    "../clip",
    "/etc/passwd",
    "a/../../clip",
    "a\0b",
    "http://elsewhere/clip",
    "~",
    "." * 300,
    "",
)
TIMES = ("0", "1.5", "-3", "nan", "inf", "1e400", "soon", "", "00:00:01.000")
TEXTS = ("A sentence.", "", " ", "x" * 100_000, "日本語 و עברית", "\u202eevil", 'a "quote, and', "tab\there")


@pytest.mark.parametrize("name", BUILDERS)
def test_hostile_values_in_a_true_form_never_get_through(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hostile") / "videos"
    folder.mkdir()
    for inside in ("clip.mp4", "x.mp4"):
        (folder / inside).write_bytes(b"a video")
    (folder.parent / "clip.mp4").write_bytes(b"a video that is none of ours")
    path = folder / f"x{SUFFIX.get(name, '.csv')}"
    found = {"good": 0, "bad": 0}

    @given(
        st.sampled_from(PATHS),
        st.sampled_from(TIMES),
        st.sampled_from(TIMES),
        st.sampled_from(TEXTS),
        st.sampled_from(["", ",", ";", "\t", "|"]),
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    )
    @example("clip", "0", "1", "A sentence.", "", "\n", "utf-8")
    @example("clip", "-3", "nan", "A sentence.", "", "\n", "utf-8")
    @settings(max_examples=150, deadline=None)
    def survives(
        file: str, start: str, end: str, text: str, between: str, newline: str, encoding: str
    ) -> None:
        values = {
            **dict.fromkeys(
                ("video_id", "video_name", "sentence_name", "name", "video", "vid", "yid", "file"), file
            ),
            **dict.fromkeys(("sentence", "translation", "orth", "raw-text", "text"), text),
            **dict.fromkeys(("start", "start_realigned"), start),
            **dict.fromkeys(("end", "end_realigned"), end),
            **{"speaker": "Ann", "split": "test"},
        }
        content = BUILDERS[name](values, between).replace("\n", newline)
        path.write_bytes(content.encode(encoding, "replace"))
        try:
            rows = find_reader(path, name).read(path, None)
        except InputError:
            return
        assert all(bad.reason for bad in rows.bad)
        found.update(good=found["good"] + len(rows.good), bad=found["bad"] + len(rows.bad))
        for row in rows.good:
            assert 0 < len(row.text) <= LONGEST_TEXT
            assert row.start is None or row.start >= 0
            assert row.end is None or row.end > (row.start or 0)
            with contextlib.suppress(InputError):
                assert locate(folder, row.file).resolve().is_relative_to(folder.resolve())

    survives()
    assert found["good"]
    assert found["bad"]
