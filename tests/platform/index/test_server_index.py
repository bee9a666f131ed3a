"""An index on a Qdrant server: what goes over the wire, what strict mode allows, where tokens are.

Everything here runs against the server of `CICO_QDRANT_URL` if there is one, else against the stand-in; what
counts its calls runs against the stand-in alone.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cico_command import Cico
from drawn_clips import DIM, drawn_clips
from grpc import RpcError
from qdrant_stand_in.contents import client_of
from qdrant_stand_in.process import StandInProcess
from tiny_index import SENTENCES

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.server import ServerIndex
from cico_platform.index.server_settings import ServerSettings
from cico_platform.index.token_storage import Quantization
from cico_platform.index.traces import find_traces, traces_of
from cico_platform.storage import files_under, fresh, place


@pytest.fixture
def name(qdrant_url: str) -> Iterator[str]:
    """The name of a collection that is removed in the end."""
    made = f"test-{uuid.uuid4().hex[:8]}"
    yield made
    with open_index(qdrant_url) as index:
        index.delete(made)


@pytest.fixture
def counted(stand_in: StandInProcess) -> StandInProcess:
    """The stand-in, where tests go against it."""
    if os.environ.get("CICO_QDRANT_URL"):
        pytest.skip("only the stand-in counts calls and bytes")
    return stand_in


def ids_of(url: str, collection: str) -> list[Any]:
    """Ids of all points, by Qdrant's own client."""
    client = client_of(url)
    try:
        records, _ = client.scroll(collection, limit=10_000, with_payload=False)
        return [record.id for record in records]
    finally:
        client.close()


def test_a_search_moves_ids_and_the_payloads_that_are_shown(
    qdrant_url: str, counted: StandInProcess, name: str
) -> None:
    made = drawn_clips(300, note="x" * 2000)
    with open_index(qdrant_url) as index:
        index.create(name, DIM)
        index.upsert(name, made)
        index.count(name)  # the collection is known from here on
        counted.control(reset=True)
        hits = index.query(name, made[7].tokens, limit=200, candidates=300, with_tokens=True)
        shown = hits.take([0, 1, 2])
    traffic = counted.control()
    assert traffic["calls"] == {"Points/Query": 1, "Points/Get": 1}
    assert traffic["sent"]["Points/Query"] < 300 * 40
    assert 3 * 2000 < traffic["sent"]["Points/Get"] < 3 * 3000
    assert next(hit.video_id for hit in shown if hit is not None) == made[7].video_id
    assert len(hits) == 200
    assert hits.lengths is not None
    assert hits.lengths.sum() == sum(len(hit.tokens) for hit in hits if hit.tokens is not None)


def test_names_of_candidates_come_without_their_payloads(
    qdrant_url: str, counted: StandInProcess, name: str
) -> None:
    with open_index(qdrant_url) as index:
        index.create(name, DIM)
        index.upsert(name, drawn_clips(100, note="x" * 2000))
        counted.control(reset=True)
        found = {hit.video_id for hit in index.query(name, drawn_clips(1)[0].tokens, limit=100)}
    traffic = counted.control()
    assert found == {clip.video_id for clip in drawn_clips(100)}
    assert traffic["calls"]["Points/Query"] == 1
    assert "Points/Get" not in traffic["calls"]
    assert traffic["sent"]["Points/Query"] < 100 * 100


def test_points_are_numbers_and_a_clip_that_comes_again_has_one_point(qdrant_url: str, name: str) -> None:
    made = drawn_clips(10)
    with open_index(qdrant_url) as index:
        index.create(name, DIM)
        index.upsert(name, made)
        before = ids_of(qdrant_url, name)
        assert len(set(before)) == 10
        changed = IndexedClip(made[3].video_id, -made[3].tokens, {"text": "new"})
        index.upsert(name, [changed, made[4], changed])
        assert index.count(name) == 10
        after = ids_of(qdrant_url, name)
        (hit,) = index.fetch(name, [made[3].video_id], tokens=True)
        assert hit.payload["text"] == "new"
        np.testing.assert_allclose(hit.tokens, changed.tokens, atol=1e-2)
    # What has ever been a clip's row is never another's.
    assert (len(after), len(set(after) & set(before))) == (10, 8)


def test_a_clip_deleted_after_it_was_found_is_not_shown(qdrant_url: str, name: str) -> None:
    made = drawn_clips(10)
    with open_index(qdrant_url) as index:
        index.create(name, DIM)
        index.upsert(name, made)
        hits = index.query(name, made[2].tokens, limit=10, candidates=10, with_tokens=True)
        index.delete(name, [made[2].video_id])
        shown = hits.take(range(10))
        assert shown[0] is None
        assert made[2].video_id not in {hit.video_id for hit in shown if hit is not None}
        assert sum(hit is None for hit in shown) == 1
        with pytest.raises(CicoError, match="deleted while"):
            _ = hits[0].payload


def test_writes_go_in_batches_of_bytes(qdrant_url: str, counted: StandInProcess, name: str) -> None:
    settings = ServerSettings(batch_bytes=1 << 20, tokens=os.environ["CICO_QDRANT_TOKENS"])
    made = drawn_clips(60, note="x" * 100_000)
    with ServerIndex(qdrant_url, settings) as index:
        index.create(name, DIM)
        counted.control(reset=True)
        index.upsert(name, made)
        assert index.count(name) == 60
    traffic = counted.control()
    assert (1 << 19) < traffic["largest"]["Points/Upsert"] <= (1 << 20) + 200
    assert traffic["calls"]["Points/Upsert"] >= 6
    assert sum(traffic["received"].values()) < 7_000_000


def test_more_than_a_request_may_have_is_written_by_default(qdrant_url: str, name: str) -> None:
    made = drawn_clips(40, note="x" * (1 << 20))
    with open_index(qdrant_url) as index:
        index.create(name, DIM)
        index.upsert(name, made)
        assert index.count(name) == 40


def test_a_clip_larger_than_a_batch_is_refused_before_anything_is_written(qdrant_url: str, name: str) -> None:
    settings = ServerSettings(batch_bytes=1 << 16, tokens=os.environ["CICO_QDRANT_TOKENS"])
    made = [*drawn_clips(3), IndexedClip("large one", drawn_clips(1)[0].tokens, {"note": "x" * (1 << 16)})]
    with ServerIndex(qdrant_url, settings) as index:
        index.create(name, DIM)
        with pytest.raises(CicoError, match=r"clip 'large one' has [0-9,]+ bytes.*65,536.*BATCH_BYTES"):
            index.upsert(name, made)
        assert index.count(name) == 0
        index.upsert(name, made[:3])
        assert len(ids_of(qdrant_url, name)) == 3


def test_a_request_above_the_servers_limit_says_which_setting(
    counted: StandInProcess, qdrant_url: str, name: str
) -> None:
    settings = ServerSettings(batch_bytes=64 << 20, tokens=os.environ["CICO_QDRANT_TOKENS"])
    with ServerIndex(qdrant_url, settings) as index:
        index.create(name, DIM)
        with pytest.raises(CicoError, match=r"takes no request of 3\d\.\d MiB.*CICO_QDRANT_BATCH_BYTES"):
            index.upsert(name, drawn_clips(36, note="x" * (1 << 20)))


def test_collections_are_made_as_the_settings_say(qdrant_url: str, name: str) -> None:
    settings = ServerSettings(
        shard_number=2,
        write_consistency_factor=1,
        on_disk_payload=True,
        hnsw_m=24,
        tokens=os.environ["CICO_QDRANT_TOKENS"],
    )
    client = client_of(qdrant_url)
    with ServerIndex(qdrant_url, settings) as index:
        index.create(name, DIM)
        info = client.get_collection(name)
    client.close()
    params = info.config.params
    assert (params.shard_number, params.write_consistency_factor, params.on_disk_payload) == (2, 1, True)
    assert isinstance(params.vectors, dict)
    assert set(params.vectors) == {"pooled"}
    pooled = params.vectors["pooled"]
    assert pooled.datatype == "float16"
    assert pooled.hnsw_config is not None
    assert pooled.hnsw_config.m == 24
    assert pooled.quantization_config is not None
    assert {"signer", "video_id", "duration"} <= set(info.payload_schema)


@pytest.mark.parametrize("quantization", ["none", "product"])
def test_tokens_may_lie_in_a_bucket(
    bucket: str, qdrant_url: str, name: str, tmp_path: Path, quantization: Quantization
) -> None:
    home = f"{bucket}/tokens-of-{name}"
    settings = ServerSettings(tokens=home, token_cache=str(tmp_path / "cache"), token_cache_bytes=8 << 20)
    made = drawn_clips(200)
    with ServerIndex(qdrant_url, settings) as index:
        index.create(name, DIM, quantization)
        index.upsert(name, made)
        index.upsert(name, made[:20])
        index.alias(f"{name}-live", name)
    with ServerIndex(qdrant_url, settings) as index:
        assert index.query(name, made[3].tokens, limit=1, candidates=200)[0].video_id == made[3].video_id
        assert list((tmp_path / "cache").rglob("*.tokens"))
        found = find_traces(index.folders([name]), traces_of(list(index.fetch(name, tokens=True)), None))
        assert found.files > 2
        assert found.found > 0
        index.delete(name, [made[3].video_id])
        index.erase_deleted(name)
        held = {hit.video_id for hit in index.fetch(name, tokens=True) if hit.tokens is not None}
        assert held == {clip.video_id for clip in made} - {made[3].video_id}
        index.delete(name)
        assert files_under(fresh(place(home))) == []


@pytest.mark.parametrize("quantization", ["scalar", "binary"])
@pytest.mark.parametrize("rescore", [True, None])
def test_quantised_vectors_find_what_they_should(
    qdrant_url: str, name: str, quantization: Any, rescore: bool | None
) -> None:
    settings = ServerSettings(
        vector_quantization=quantization,
        rescore=rescore,
        oversampling=3.0,
        tokens=os.environ["CICO_QDRANT_TOKENS"],
    )
    made = drawn_clips(200)
    with ServerIndex(qdrant_url, settings) as index:
        index.create(name, DIM)
        index.upsert(name, made)
        index.alias(f"{name}-live", name)
        for clip in made[::40]:
            hits = index.query(name, clip.tokens, limit=1, candidates=50)
            assert hits[0].video_id == clip.video_id
            only = index.query(name, clip.tokens, limit=5, candidates=50, filters=Filters(signer="B"))
            assert {hit.payload["signer"] for hit in only} == {"B"}


def test_a_server_in_strict_mode_is_asked_for_what_it_allows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = drawn_clips(250)
    settings = ServerSettings(
        tokens=str(tmp_path / "tokens"), rescore=True, oversampling=50.0, timeout_s=600.0
    )
    with StandInProcess(tmp_path / "data", "--strict") as server, ServerIndex(server.url, settings) as index:
        index.create("c", DIM)
        index.upsert("c", made)
        index.upsert("c", made[:200])
        assert index.count("c") == 250
        assert index.count("c", Filters(signer="A", min_duration=100)) == 75
        assert set(index.facets("c", "signer", 10)) == {str(clip.payload["signer"]) for clip in made}
        assert len(list(index.fetch("c"))) == 250
        assert len(list(index.fetch("c", [clip.video_id for clip in made], tokens=True))) == 250
        hits = index.query("c", made[3].tokens, limit=10, candidates=3000, filters=Filters(signer="B"))
        assert hits[0].video_id == made[3].video_id
        assert "strict mode gives 2000 candidates of 'c', not 3000" in caplog.text
        index.delete("c", [clip.video_id for clip in made[:130]])
        index.delete("c", filters=Filters(signer="B"))
        assert index.count("c") == 60
        index.alias("live", "c")
        # That the server is strict is seen by what it refuses.
        with pytest.raises(RpcError) as refused:
            client_of(server.url).scroll("c", limit=5000)
        assert "Limit exceeded 5000 > 2000" in str(refused.value)


def test_a_collection_of_another_version_is_not_searched_and_can_be_removed(
    qdrant_url: str, name: str
) -> None:
    from qdrant_client import models

    client = client_of(qdrant_url)
    vectors = {"pooled": models.VectorParams(size=4, distance=models.Distance.COSINE)}
    client.create_collection(name, vectors_config=vectors)
    client.close()
    with open_index(qdrant_url) as index:
        for ask in (
            lambda: index.count(name),
            lambda: index.create(name, DIM),
            lambda: index.query(name, drawn_clips(1)[0].tokens),
        ):
            with pytest.raises(CicoError, match=f"'{name}' .*earlier version.*'cico index' again"):
                ask()
        index.delete(name)
        with pytest.raises(InputError, match=f"no collection '{name}'"):
            index.count(name)


def test_a_collection_removed_by_another_is_said_to_be_gone(qdrant_url: str, name: str) -> None:
    with open_index(qdrant_url) as index, open_index(qdrant_url) as other:
        index.create(name, DIM)
        index.upsert(name, drawn_clips(5))
        assert index.count(name) == 5
        other.delete(name)
        for ask in (
            lambda: index.count(name),
            lambda: index.query(name, drawn_clips(1)[0].tokens, candidates=5),
            lambda: list(index.fetch(name)),
        ):
            with pytest.raises(InputError, match=f"'{qdrant_url}' has no collection '{name}'"):
                ask()


def test_tokens_are_read_where_they_are_now(qdrant_url: str, name: str, tmp_path: Path) -> None:
    made = drawn_clips(8)
    with ServerIndex(qdrant_url, ServerSettings(tokens=str(tmp_path / "written"))) as index:
        index.create(name, DIM)
        index.upsert(name, made[:5])
        shutil.copytree(tmp_path / "written", tmp_path / "stale")
        index.upsert(name, made[5:])
    (tmp_path / "written").rename(tmp_path / "mounted")
    query = made[6].tokens
    with ServerIndex(qdrant_url, ServerSettings()) as index:
        assert index.count(name) == 8
        with pytest.raises(CicoError, match=rf"tokens of collection '{name}' are not at.*CICO_QDRANT_TOKENS"):
            index.query(name, query, candidates=8)
        with pytest.raises(CicoError, match="are not at"):
            list(index.fetch(name, tokens=True))
    stale = ServerSettings(tokens=str(tmp_path / "stale"))
    with ServerIndex(qdrant_url, stale) as index, pytest.raises(CicoError, match="older copy"):
        index.query(name, query, candidates=8)
    with ServerIndex(qdrant_url, ServerSettings(tokens=str(tmp_path / "mounted"))) as index:
        hits = index.query(name, query, limit=1, candidates=8, with_tokens=True)
        assert hits[0].video_id == made[6].video_id
        np.testing.assert_allclose(hits[0].tokens, query, atol=1e-2)
        index.delete(name)
    assert not any((tmp_path / "mounted").iterdir())


def test_tokens_are_in_this_users_data_by_default(
    qdrant_url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("CICO_QDRANT_TOKENS")
    with open_index(qdrant_url) as index:
        index.create(name, DIM)
        index.upsert(name, drawn_clips(2))
    (folder,) = (tmp_path / "cico" / "tokens").glob(f"*/{name}-*")
    with open_index(qdrant_url) as index:
        assert index.query(name, drawn_clips(2)[1].tokens, candidates=2)[0].video_id == "clip/1 ü"
        index.delete(name)
    assert not folder.exists()


def test_what_one_process_adds_another_finds_at_once(qdrant_url: str, name: str) -> None:
    made = drawn_clips(30)
    with open_index(qdrant_url) as reader, open_index(qdrant_url) as writer:
        writer.create(name, DIM)
        for first in range(0, 30, 10):
            writer.upsert(name, made[first : first + 10])
            hits = reader.query(name, made[first + 9].tokens, limit=1, candidates=30)
            assert hits[0].video_id == made[first + 9].video_id
            assert reader.count(name) == first + 10


def test_a_collection_made_again_has_other_tokens(qdrant_url: str, name: str) -> None:
    with open_index(qdrant_url) as index:
        for seed in (0, 1):
            made = drawn_clips(6, seed)
            index.create(name, DIM)
            index.upsert(name, made)
            hits = index.query(name, made[5].tokens, limit=1, candidates=6, with_tokens=True)
            np.testing.assert_allclose(hits[0].tokens, made[5].tokens, atol=1e-2)
            index.delete(name)


def test_the_command_searches_a_server(tiny_server: VectorIndex, server_url: str, cico: Cico) -> None:
    ended = cico("search", SENTENCES[3], "--index", server_url, "--json")
    assert ended.returncode == 0, ended.stderr
    assert '"clip-3"' in ended.stdout.partition("}")[0]
    assert cico("search", SENTENCES[3], "--index", server_url, "--collection", "none").returncode == 1
