"""Who withdraws consent is forgotten: no collection finds them, no file holds a byte of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_collections import make_model, texts, write_collection
from typer.testing import CliRunner

from cico_platform.cli.main import app
from cico_platform.encoding.texts import TextQuery
from cico_platform.errors import InputError
from cico_platform.index.base import VectorIndex, open_index, previous_of
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.forgetting import forget, forgotten
from cico_platform.index.serving_info import ServingInfo, known_collections
from cico_platform.index.set_encoding import point_vector
from cico_platform.index.text_writer import TextCounts, update_texts
from cico_platform.index.texts import texts_of
from cico_platform.index.traces import Search, find_traces, traces_of
from cico_platform.index.writer import IndexWriter

SIGNER = "Jana Withdrawn-Consent"


@pytest.fixture(params=["embedded", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path):
    location = str(tmp_path / "index")
    if request.param == "server":
        location = request.getfixturevalue("server_url")
    with open_index(location) as opened:
        fill(opened, tmp_path)
        yield opened


def fill(index: VectorIndex, folder: Path) -> None:
    """Two versions of a collection in which every third clip is the signer's, and a cut build."""
    model = make_model(folder / "model", 16)
    for name in ("clips-1", "clips-2"):
        write_collection(index, name, folder / "model", model)
        for hit in list(index.fetch(name, tokens=True))[::3]:
            assert hit.tokens is not None
            payload = {**hit.payload, "signer": SIGNER}
            del payload["video_id"]
            index.upsert(name, [IndexedClip(hit.video_id, hit.tokens, payload)])
    cut = IndexWriter(index, ServingInfo("clips-cut", 16, str(folder / "model"), (), 1.0, "small"))
    tokens = np.random.default_rng(9).normal(size=(2, 16)).astype(np.float32)
    cut.add([IndexedClip("cut", tokens, {"signer": SIGNER, "text": "cut short"})])
    cut.flush()


def test_a_signer_is_in_no_collection_any_more(index: VectorIndex, tmp_path: Path) -> None:
    proof = forget(index, signer=SIGNER)
    assert proof.clips == len(texts()) // 3 + 1
    assert proof.rewritten == {"clips-1": "clips-1.r2", "clips-2": "clips-2.r2"}
    assert proof.removed == ["clips-cut"]
    assert set(known_collections(index)) == set(proof.rewritten.values())
    assert (index.alias("clips"), index.alias(previous_of("clips"))) == ("clips-2.r2", "clips-1.r2")
    for name in proof.rewritten.values():
        assert index.count(name) == len(texts()) * 2 // 3
        assert index.count(name, Filters(signer=SIGNER)) == 0
    again = forget(index, signer=SIGNER)
    assert (again.clips, again.rewritten) == (0, {})


def test_one_clip_is_forgotten_and_the_rest_is_as_it_was(index: VectorIndex) -> None:
    before = {hit.video_id: hit for hit in index.fetch("clips-2", tokens=True)}
    forget(index, video_ids=["clip-5"])
    after = {hit.video_id: hit for hit in index.fetch("clips-2.r2", tokens=True)}
    assert set(before) - set(after) == {"clip-5"}
    for name, hit in after.items():
        assert hit.payload == before[name].payload
        np.testing.assert_allclose(hit.tokens, before[name].tokens, atol=2e-3)
    with pytest.raises(InputError, match="whom or what"):
        forget(index)


def test_only_a_salted_hash_is_remembered(index: VectorIndex) -> None:
    assert not forgotten(index)("clip-5", [SIGNER])
    forget(index, signer=SIGNER, video_ids=["clip-5"])
    is_forgotten = forgotten(index)
    assert is_forgotten("a new one", ["B", SIGNER])
    assert is_forgotten("clip-5", [])
    assert not is_forgotten("clip-7", ["B"])


def test_clips_that_show_a_person_beside_their_signer_are_removed(index: VectorIndex) -> None:
    (hit,) = index.fetch("clips-2", ["clip-5"], tokens=True)
    assert hit.tokens is not None
    payload = {k: v for k, v in hit.payload.items() if k != "video_id"}
    shown = {**payload, "signer": "B", "participants": ["B", "Second-In-The-Frame"]}
    index.upsert("clips-2", [IndexedClip("clip-5", hit.tokens, shown)])
    proof = forget(index, signer="Second-In-The-Frame")
    assert (proof.clips, proof.found_after) == (1, 0)
    # The earlier collection does not know that this clip shows the person.
    assert set(proof.rewritten) == {"clips-1", "clips-2"}
    for new in proof.rewritten.values():
        assert not list(index.fetch(new, ["clip-5"]))
        assert index.count(new) == len(texts()) - 1
    assert forgotten(index)("anything", ["B", "Second-In-The-Frame"])


def no_encoding(said: Sequence[str]) -> list[TextQuery]:
    raise AssertionError(f"encodes {said}")


def test_texts_that_only_the_forgotten_say_are_gone_and_others_forget_the_signer(index: VectorIndex) -> None:
    """A clip says what one of the signer's does, and two of the signer's say the same, in one collection."""
    clips = {hit.video_id: hit for hit in index.fetch("clips-2", tokens=True)}
    own = [name for name, hit in clips.items() if hit.payload["signer"] == SIGNER]
    other = next(name for name, hit in clips.items() if hit.payload["signer"] == "B")
    for name, like in ((other, own[0]), (own[1], own[2])):
        payload = {key: value for key, value in clips[name].payload.items() if key != "video_id"}
        shared = {key: clips[like].payload[key] for key in ("text", "text_key", "text_part")}
        index.upsert("clips-2", [IndexedClip(name, np.array(clips[name].tokens), {**payload, **shared})])
    update_texts(index, "clips-2", no_encoding)
    before = {hit.video_id: hit for hit in index.fetch(texts_of("clips-2"), tokens=True)}
    stays, goes = (clips[name].payload["text_key"] for name in (own[0], own[2]))
    assert before[stays].payload["signer"] == ["B", SIGNER]
    assert before[goes].payload["signer"] == [SIGNER]

    proof = forget(index, signer=SIGNER)
    assert proof.found_after == 0
    new = proof.rewritten["clips-2"]
    after = {hit.video_id: hit for hit in index.fetch(texts_of(new), tokens=True)}
    said = {hit.payload["text_key"] for hit in index.fetch(new)}
    assert set(after) == said < set(before)
    assert goes not in said
    assert after[stays].payload["signer"] == ["B"]
    for key, hit in after.items():
        np.testing.assert_array_equal(hit.tokens, before[key].tokens)
        assert hit.payload["words"] == before[key].payload["words"]
    # They are what an update would make of the clips.
    assert update_texts(index, new, no_encoding) == TextCounts(texts=len(said))
    for old in ("clips-1", "clips-2", "clips-cut"):
        with pytest.raises(InputError, match="no collection"):
            index.count(texts_of(old))


def test_no_file_holds_a_byte_of_the_forgotten(tmp_path: Path) -> None:
    location = tmp_path / "index"
    with open_index(str(location)) as index:
        fill(index, tmp_path)
    with open_index(str(location)) as index:
        gone = list(index.fetch("clips-2", filters=Filters(signer=SIGNER), tokens=True))
        kept = next(index.fetch("clips-2", ["clip-1"], tokens=True))
        keys = [str(hit.payload["text_key"]) for hit in gone]
        said = list(index.fetch(texts_of("clips-2"), keys, tokens=True))
    assert len(said) == len(gone)
    before = b"\0".join(path.read_bytes() for path in location.rglob("*") if path.is_file())
    assert all(np.asarray(hit.tokens, np.float16).tobytes() in before for hit in [*gone, *said])

    result = CliRunner().invoke(
        app, ["index", "forget", "--signer", SIGNER, "--index", str(location), "--json"]
    )
    assert result.exit_code == 0, result.output
    proof = json.loads(result.stdout)
    assert proof["found_after"] == 0
    assert proof["found_before"] > 3 * len(gone)
    assert proof["files"] == sum(p.is_file() and "models" not in p.parts for p in location.rglob("*"))

    everything = b"\0".join(path.read_bytes() for path in location.rglob("*") if path.is_file())
    assert SIGNER.encode() not in everything
    for hit in [*gone, *said]:
        assert hit.tokens is not None
        assert np.asarray(hit.tokens, np.float16).tobytes() not in everything
        assert str(hit.payload["text"]).encode() not in everything
        assert str(hit.payload["text_key"]).encode() not in everything
        assert point_vector(hit.tokens).astype(np.float16).tobytes() not in everything
    assert not any(str(hit.payload["path"]).encode() in everything for hit in gone)
    assert kept.tokens is not None
    assert np.asarray(kept.tokens[0], np.float16).tobytes() in everything
    assert find_traces([location], traces_of([kept], None)).found > 3


def test_the_search_of_files_finds_what_lies_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cico_platform.index.traces.BLOCK", 64)
    rng = np.random.default_rng(0)
    strings = {rng.bytes(20), rng.bytes(33), b"a name", b"a name too"}
    absent = rng.bytes(20)
    for at in (0, 1, 50, 62, 63, 64, 95, 1000):
        content = bytearray(rng.bytes(1100))
        string = sorted(strings)[at % 4]
        content[at : at + len(string)] = string
        with (tmp_path / "file").open("wb") as file:
            file.seek(1 << 20)  # behind a hole
            file.write(content)
        expected = {s for s in strings if s in content}
        assert string in expected
        assert Search({*strings, absent}).file(tmp_path / "file") == expected


def test_judgements_of_the_forgotten_leave_the_files_of_feedback(tmp_path: Path) -> None:
    location, kept = tmp_path / "index", tmp_path / "feedback-a-1.jsonl"
    with open_index(str(location)) as index:
        fill(index, tmp_path)
        gone = next(index.fetch("clips-2", filters=Filters(signer=SIGNER))).video_id
    said = {"day": "2026-01-01", "collection": "clips-2", "kind": "video", "rank": 1, "verdict": "right"}
    lines = [json.dumps({**said, "video_id": name, "text": name}) for name in (gone, "clip-1")]
    kept.write_text("\n".join(lines))
    command = ["index", "forget", "--signer", SIGNER, "--index", str(location), "--json"]
    refused = CliRunner().invoke(app, [*command, "--feedback", str(tmp_path / "none")])
    assert refused.exit_code != 0
    for _ in range(2):  # the second run finds the clips no more, and knows them all the same
        result = CliRunner().invoke(app, [*command, "--feedback", str(kept)])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["feedback"] == {"files": 1, "lines": 1, "unreadable": 0}
        assert kept.read_text() == lines[1] + "\n"
        kept.write_text("\n".join(lines))
