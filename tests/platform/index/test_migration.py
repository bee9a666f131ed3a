"""Collections of the version before go on in today's layout."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_clips import DIM, drawn_clips
from earlier_index import write_embedded, write_server
from qdrant_client import models
from qdrant_stand_in.contents import client_of
from small_collections import make_model
from typer.testing import CliRunner

from cico_platform.cli.main import app
from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clips import Filters
from cico_platform.index.migration import migrate
from cico_platform.index.serving_info import ServingInfo, known_collections, live_serving, write_serving
from cico_platform.index.set_encoding import LAYOUT
from cico_platform.index.texts import texts_of, with_text_key
from cico_platform.pipelines.index_texts import write_texts

LIVE, BEFORE, UNNAMED = drawn_clips(700, 1, language="en"), drawn_clips(30, 2), drawn_clips(5, 3)


@pytest.fixture
def model(tmp_path: Path) -> str:
    make_model(tmp_path / "model", DIM)
    return str(tmp_path / "model")


def texts(index: VectorIndex, info: ServingInfo) -> int:
    return write_texts(index, info).texts


def info(name: str, model: str, clips: int, layout: int = 4) -> ServingInfo:
    return ServingInfo(name, DIM, model, (), 1.0, "drawn", content=f"of {name}", clips=clips, layout=layout)


@pytest.fixture
def embedded(tmp_path: Path, model: str) -> Path:
    folder = tmp_path / "index"
    for name, clips in (("clips-a", LIVE), ("clips-b", BEFORE), ("clips-c", UNNAMED)):
        write_embedded(folder, name, clips)
    (folder / "aliases.json").write_text(json.dumps({"clips": "clips-a", "clips.previous": "clips-b"}))
    with open_index(str(folder)) as index:
        for name, clips in (("clips-a", LIVE), ("clips-b", BEFORE), ("clips-c", UNNAMED)):
            write_serving(index, info(name, model, len(clips)))
    return folder


@pytest.fixture
def server(server_url: str, model: str) -> str:
    client = client_of(server_url)
    for name, clips in (("clips-a", LIVE), ("clips-b", BEFORE)):
        write_server(client, name, clips)
        alias = "clips" if name == "clips-a" else "clips.previous"
        named = models.CreateAlias(collection_name=name, alias_name=alias)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=named)])
    client.close()
    with open_index(server_url) as index:
        for name, clips in (("clips-a", LIVE), ("clips-b", BEFORE)):
            write_serving(index, info(name, model, len(clips)))
    return server_url


@pytest.fixture(params=["embedded", "server"])
def earlier(request: pytest.FixtureRequest) -> Iterator[VectorIndex]:
    with open_index(str(request.getfixturevalue(request.param)), must_exist=True) as index:
        yield index


def test_live_and_previous_collections_are_copied_whole(earlier: VectorIndex) -> None:
    with pytest.raises(CicoError, match="earlier version; run 'cico index migrate'"):
        live_serving(earlier)
    done = migrate(earlier, texts)
    assert done.collections == {"clips-a": f"clips-a.v{LAYOUT}", "clips-b": f"clips-b.v{LAYOUT}"}
    assert done.clips == len(LIVE) + len(BEFORE)
    for alias, clips in (("clips", LIVE), ("clips.previous", BEFORE)):
        now = live_serving(earlier, alias)
        old = now.collection.removesuffix(f".v{LAYOUT}")
        assert (now.content, now.clips, now.layout) == (f"of {old}", len(clips), LAYOUT)
        held = {hit.video_id: hit for hit in earlier.fetch(now.collection, tokens=True)}
        assert held.keys() == {clip.video_id for clip in clips}
        for clip in clips:
            assert held[clip.video_id].payload == {
                **with_text_key(clip.payload),
                "video_id": clip.video_id,
            }
            kept = np.asarray(held[clip.video_id].tokens, np.float32)
            if earlier.records is None:  # a server keeps tokens of length 1
                assert np.array_equal(kept, clip.tokens.astype(np.float16).astype(np.float32))
            else:
                unit = clip.tokens / np.linalg.norm(clip.tokens, axis=1, keepdims=True)
                assert np.allclose(kept, unit, atol=2e-3)
        found = earlier.query(now.collection, clips[7].tokens, limit=3, candidates=20)
        assert found[0].video_id == clips[7].video_id
        said = {hit.payload["text"] for hit in earlier.fetch(texts_of(now.collection))}
        assert said == {clip.payload["text"] for clip in clips}
        assert now.texts == len(said)
    assert earlier.count(live_serving(earlier).collection, Filters(language=["en"])) == len(LIVE)
    assert set(known_collections(earlier)) == set(done.collections.values())
    assert migrate(earlier, texts).collections == {}


def test_a_collection_that_nothing_names_is_removed_and_said_so(embedded: Path) -> None:
    result = CliRunner().invoke(app, ["index", "migrate", "--index", str(embedded), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["removed"] == ["clips-c"]
    assert sorted(path.name for path in (embedded / "collections").iterdir()) == [
        f"clips-a.v{LAYOUT}",
        f"clips-a.v{LAYOUT}.texts",
        f"clips-b.v{LAYOUT}",
        f"clips-b.v{LAYOUT}.texts",
    ]


def test_a_cut_migration_begins_anew_and_loses_nothing(
    embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(name: str, clips: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(VectorIndex, "write_bytes", 1)
    monkeypatch.setattr("cico_platform.index.writer.MOST_CLIPS", 1)
    with open_index(str(embedded)) as index:
        with pytest.raises(KeyboardInterrupt):
            migrate(index, texts, cut)
        assert index.alias("clips") == "clips-a"
        assert migrate(index, texts).clips == len(LIVE) + len(BEFORE)
        assert index.count(str(index.alias("clips"))) == len(LIVE)


def test_a_layout_that_is_older_still_is_refused(embedded: Path, model: str) -> None:
    with open_index(str(embedded)) as index:
        write_serving(index, info("clips-b", model, len(BEFORE), layout=3))
        with pytest.raises(InputError, match=r"'clips-b' .* too old"):
            migrate(index, texts)
        assert index.alias("clips") == "clips-a"


def test_points_of_an_embedded_collection_that_are_not_in_its_token_store_are_damage(tmp_path: Path) -> None:
    with open_index(str(tmp_path)) as index:
        index.create("a", DIM)
        index.upsert("a", drawn_clips(20))
    tokens = tmp_path / "collections" / "a" / "tokens"
    shutil.rmtree(tokens)
    with open_index(str(tmp_path)) as index, pytest.raises(CicoError, match="no token store"):
        index.query("a", drawn_clips(1)[0].tokens, candidates=5)
