"""Search answers with the right clips and sentences, exactly scored, from an index alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from cico_command import Cico
from tiny_index import SENTENCES

from cico_platform.encoding.texts import encode_texts
from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import open_index
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.ranking import Stages
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.index.writer import IndexWriter


@pytest.fixture
def built(tiny_index: Path) -> Path:
    return tiny_index


@pytest.fixture(params=["embedded", "server"])
def searcher(request: pytest.FixtureRequest, built: Path):
    if request.param == "server":
        server = request.getfixturevalue("tiny_server")
        yield Searcher(server, live_serving(server))
        return
    with Searcher.open(built / "index") as opened:
        yield opened


def test_a_sentence_finds_the_clip_that_says_it(searcher: Searcher) -> None:
    for number, sentence in enumerate(SENTENCES):
        rows = searcher.by_text(sentence.upper(), limit=3)
        assert rows[0]["video_id"] == f"clip-{number}"
        assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)


def test_a_video_finds_the_sentence_that_it_signs(searcher: Searcher, built: Path) -> None:
    for number, sentence in enumerate(SENTENCES):
        rows = searcher.by_video(built / "videos" / f"clip {number}.mp4", limit=2)
        assert rows[0]["text"] == sentence.lower()
        assert rows[0]["video_id"] == f"clip-{number}"


def test_rows_carry_what_the_interface_promises(searcher: Searcher) -> None:
    row = json.loads(json.dumps(searcher.by_text("The boy reads a book")[0]))
    assert set(row) == {"video_id", "text", "score", "path", "start", "end", "words"}
    assert Path(row["path"]).is_file()
    assert [word["word"] for word in row["words"]] == ["the", "boy", "reads", "a", "book"]
    for word in row["words"]:
        assert 0 <= word["start"] < word["end"] <= row["end"] - row["start"] + 0.7
        assert 0 < word["weight"] <= 1


def test_the_last_stage_is_the_exact_similarity_of_the_method(searcher: Searcher) -> None:
    query = encode_texts(searcher.model, ["a boy in the garden"])[0]
    text = torch.from_numpy(query.tokens)[None]
    for ranked in searcher.ranking.by_text(query, 8):
        assert ranked.hit.tokens is not None
        video = torch.from_numpy(np.array(ranked.hit.tokens, dtype=np.float32))[None]
        masks = torch.ones(video.shape[:2], dtype=torch.bool), torch.ones(text.shape[:2], dtype=torch.bool)
        assert ranked.score == pytest.approx(float(searcher.model.scores(video, text, *masks)), abs=1e-5)


def test_filters_and_limit_hold_in_both_directions(searcher: Searcher, built: Path) -> None:
    video = built / "videos" / "clip 0.mp4"
    for rows in (
        searcher.by_text(SENTENCES[0], 3, Filters(signer="B")),
        searcher.by_video(video, 3, Filters(signer="B")),
    ):
        assert len(rows) == 3
        assert all(int(row["video_id"].removeprefix("clip-")) % 2 for row in rows)
    assert searcher.by_text(SENTENCES[0], 3, Filters(signer="nobody")) == []
    assert searcher.by_video(video, 3, Filters(signer="nobody")) == []


def test_few_likely_texts_are_enough_for_a_video(built: Path) -> None:
    with Searcher.open(built / "index", stages=Stages(candidates=2, texts=2)) as searcher:
        for number in range(len(SENTENCES)):
            rows = searcher.by_video(built / "videos" / f"clip {number}.mp4", limit=1)
            assert rows[0]["video_id"] == f"clip-{number}"


@pytest.mark.parametrize(
    "text", ["", "  ", "?!", "x" * 1001, "&amp;nbsp;", "\ufeff", "\u3164", "\u200b\u00ad"]
)
def test_a_text_that_says_nothing_or_too_much_is_refused(searcher: Searcher, text: str) -> None:
    with pytest.raises(InputError):
        searcher.by_text(text)


def test_the_command_refuses_a_text_that_nobody_sees(built: Path, cico: Cico) -> None:
    ended = cico("search", "&amp;nbsp;", "--index", built / "index", "--json")
    assert ended.returncode == 2
    assert "the text is empty" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_nobody_sees_in_a_text_changes_no_result(searcher: Searcher) -> None:
    plain = searcher.by_text("The boy reads a book")
    for written in (
        "\ufeffThe boy\u00a0reads\u200b a book",
        "The b\u00adoy reads a&amp;nbsp;book",
        "\u202aTHE boy reads a book\u202c",
    ):
        assert searcher.by_text(written) == plain


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_limit_out_of_bounds_is_refused(searcher: Searcher, limit: int) -> None:
    with pytest.raises(InputError, match="limit"):
        searcher.by_text("boy", limit)


def test_what_is_no_video_is_refused_with_the_reason(searcher: Searcher, tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("dear sir")
    for path in (tmp_path / "letter.mp4", tmp_path / "none.mp4"):
        with pytest.raises(InputError, match="can't be searched with"):
            searcher.by_video(path)


def test_an_index_folder_can_be_moved_and_needs_no_other_file(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "index", tmp_path / "moved")
    shutil.move(built / "model", built / "model-away")
    shutil.move(built / "encoder", built / "encoder-away")
    try:
        with Searcher.open(tmp_path / "moved") as searcher:
            assert searcher.info.model.startswith(str(tmp_path / "moved"))
            rows = searcher.by_video(built / "videos" / "clip 4.mp4", limit=1)
            assert rows[0]["video_id"] == "clip-4"
    finally:
        shutil.move(built / "model-away", built / "model")
        shutil.move(built / "encoder-away", built / "encoder")


def clip(name: str, seed: int) -> IndexedClip:
    return IndexedClip(
        name, np.random.default_rng(seed).normal(size=(3, 8)).astype(np.float32), {"text": name}
    )


def checkpoint(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    return str(folder)


def test_a_new_collection_goes_live_when_it_is_whole(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model")
    with open_index(str(tmp_path / "index")) as index:
        with IndexWriter(index, ServingInfo("clips-1", 8, model, (model,), 0.8, "a")) as writer:
            writer.add([clip("x", 1), clip("y", 2)])
        writer = IndexWriter(index, ServingInfo("clips-2", 8, model, (model,), 0.8, "b"))
        writer.add([clip("x", 3)])
        assert live_serving(index).collection == "clips-1"
        assert writer.finish() == ("clips-2", 1)
        assert live_serving(index).collection == "clips-2"
        assert live_serving(index).corpus == "b"
        assert index.count("clips-1") == 2


def test_an_unfinished_run_leaves_the_live_collection_alone(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model")
    with open_index(str(tmp_path / "index")) as index:
        with IndexWriter(index, ServingInfo("clips-1", 8, model, (model,), 0.8, "a")) as writer:
            writer.add([clip("x", 1)])
        IndexWriter(index, ServingInfo("clips-2", 8, model, (model,), 0.8, "a")).add([clip("x", 1)])
        with pytest.raises(CicoError, match="tokens"):
            IndexWriter(index, ServingInfo("clips-2", 8, model, (model,), 0.8, "a")).add(
                [IndexedClip("bad", np.ones((2, 4), np.float32))]
            )
        with pytest.raises(CicoError, match="0 clips"):
            IndexWriter(index, ServingInfo("clips-3", 8, model, (model,), 0.8, "a")).finish()
        assert live_serving(index).collection == "clips-1"


def test_writing_goes_on_after_a_kill_and_drops_what_is_no_longer_there(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model")
    info = ServingInfo("clips-1", 8, model, (model,), 0.8, "a")
    with open_index(str(tmp_path / "index")) as index:
        cut = IndexWriter(index, info)
        cut.add([clip("x", 1), clip("gone", 2)])
        cut.flush()
    with open_index(str(tmp_path / "index")) as index:
        writer = IndexWriter(index, info)
        there = writer.present()
        assert set(there["video_id"].to_pylist()) == {"x", "gone"}
        writer.keep(there.filter(pc.equal(there["video_id"], "x")))
        writer.add([clip("y", 3)])
        assert writer.finish().clips == 2
        assert {hit.video_id for hit in index.fetch("clips-1")} == {"x", "y"}


def test_nothing_live_is_said_so(tmp_path: Path) -> None:
    with open_index(str(tmp_path)) as index, pytest.raises(CicoError, match="nothing is live"):
        live_serving(index)


def test_an_index_of_an_earlier_layout_is_not_searched(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "index", tmp_path / "index")
    records = tmp_path / "index" / "serving.json"
    known = json.loads(records.read_text())
    for record in known["collections"].values():
        del record["layout"]
    records.write_text(json.dumps(known))
    with pytest.raises(CicoError, match="built by an earlier version"):
        Searcher.open(tmp_path / "index")
