"""Every index behaves alike: the embedded engine, and a server."""

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cico_model.ragged import unit_rows
from cico_platform.errors import CicoError, InputError
from cico_platform.index import disk_space
from cico_platform.index.base import VectorIndex, open_index, previous_of
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.set_encoding import point_vector, query_vector
from cico_platform.index.token_storage import Quantization, TokenStorage, merge_tokens

DIM = 16


@pytest.fixture(params=["embedded", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    location = str(tmp_path / "index")
    if request.param == "server":
        location = request.getfixturevalue("qdrant_url")
    with open_index(location) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


def clips(count: int = 40, seed: int = 0) -> list[IndexedClip]:
    rng = np.random.default_rng(seed)
    return [
        IndexedClip(
            f"clip/{i} ü",
            rng.normal(size=(int(rng.integers(1, 9)), DIM)).astype(np.float32),
            {
                "text": f"text {i}",
                "signer": "AB"[i % 2],
                "language": None,
                "duration": float(i),
                "crop": [0.0, 1.0],
            },
        )
        for i in range(count)
    ]


def test_a_clip_is_found_by_its_own_vector(index: VectorIndex, name: str) -> None:
    made = clips()
    index.create(name, DIM)
    index.upsert(name, made)
    hits = index.query(name, made[7].tokens, limit=3)
    assert hits[0].video_id == made[7].video_id
    assert hits[0].score == pytest.approx(
        query_vector(made[7].tokens) @ point_vector(made[7].tokens), abs=2e-3
    )
    assert hits[0].payload == {**made[7].payload, "video_id": made[7].video_id}
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    index.delete(name)


def test_candidates_are_ranked_by_each_tokens_best_match_and_encoding(index: VectorIndex, name: str) -> None:
    made = clips()
    index.create(name, DIM)
    index.upsert(name, made)
    query = np.random.default_rng(5).normal(size=(4, DIM)).astype(np.float32)
    hits = index.query(name, query, limit=5, candidates=40, with_tokens=True)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    def expect(tokens: np.ndarray) -> float:
        products = unit(query) @ unit(tokens).T
        cosine = query_vector(query) @ point_vector(tokens)
        return float(products.max(axis=1).sum() + 2 * len(query) * cosine)

    expected = {c.video_id: expect(c.tokens) for c in made}
    best = sorted(expected, key=lambda v: -expected[v])[:5]
    assert [h.video_id for h in hits] == best
    assert hits[0].score == pytest.approx(expected[best[0]], abs=3e-2)
    for hit in hits:
        tokens = {c.video_id: c.tokens for c in made}[hit.video_id]
        assert hit.tokens is not None
        assert hit.tokens.shape == tokens.shape
        if hit.products is not None:
            np.testing.assert_allclose(hit.products, unit(query) @ unit(tokens).T, atol=2e-3)
    assert hits[0].products is not None
    index.delete(name)


def test_indexing_twice_changes_nothing(index: VectorIndex, name: str) -> None:
    index.create(name, DIM)
    index.upsert(name, clips())
    index.create(name, DIM)
    index.upsert(name, clips())
    assert index.count(name) == 40
    tokens = {h.video_id: h.tokens for h in index.fetch(name, tokens=True)}
    for clip in clips():
        kept = tokens[clip.video_id]
        assert kept is not None
        assert np.allclose(unit_rows(kept), unit_rows(clip.tokens), atol=2e-3)
    index.delete(name)


def test_filters_act_inside_the_engine(index: VectorIndex, name: str) -> None:
    index.create(name, DIM)
    index.upsert(name, clips())
    only = Filters(signer="B", min_duration=10, max_duration=20)
    expected = {
        c.video_id for c in clips() if c.payload["signer"] == "B" and 10 <= c.payload["duration"] <= 20
    }
    tokens = clips()[0].tokens
    assert index.count(name, only) == len(expected) == 5
    assert {h.video_id for h in index.query(name, tokens, limit=40, filters=only)} == expected
    assert {h.video_id for h in index.query(name, tokens, limit=40, candidates=40, filters=only)} == expected
    assert {h.video_id for h in index.fetch(name, filters=only)} == expected
    assert index.count(name, Filters(signer=["A", "nobody"])) == 20
    assert index.count(name, Filters(language="en")) == 0
    index.delete(name)


def test_values_of_a_field_are_counted(index: VectorIndex, name: str) -> None:
    index.create(name, DIM)
    index.upsert(name, clips())
    wanted = Counter(str(clip.payload["signer"]) for clip in clips())
    assert len(wanted) > 1
    assert index.facets(name, "signer", 10) == wanted
    assert len(index.facets(name, "signer", 1)) == 1
    assert index.facets(name, "licence", 10) == {}
    gone = next(clip for clip in clips() if clip.payload["signer"] == "B")
    index.delete(name, [gone.video_id])
    assert index.facets(name, "signer", 10)["B"] == wanted["B"] - 1
    index.delete(name)


def test_clips_are_fetched_in_the_order_asked_for_and_unknown_ones_left_out(
    index: VectorIndex, name: str
) -> None:
    made = clips()
    index.create(name, DIM)
    index.upsert(name, made)
    wanted = [made[9].video_id, "unknown", made[2].video_id]
    hits = list(index.fetch(name, wanted, tokens=True))
    assert [h.video_id for h in hits] == [wanted[0], wanted[2]]
    assert hits[0].tokens is not None
    assert hits[0].tokens.shape == made[9].tokens.shape
    index.delete(name)


def test_of_payloads_only_what_is_asked_for_is_read(index: VectorIndex, name: str) -> None:
    made = clips()
    index.create(name, DIM)
    index.upsert(name, made)
    for asked in (None, [made[3].video_id]):
        hits = {hit.video_id: hit for hit in index.fetch(name, asked, fields=("text", "nothing"))}
        assert len(hits) == (40 if asked is None else 1)
        assert hits[made[3].video_id].payload == {"video_id": made[3].video_id, "text": "text 3"}
    only = index.fetch(name, filters=Filters(signer="B"), fields=())
    assert all(set(hit.payload) == {"video_id"} for hit in only)
    index.delete(name)


def test_an_alias_moves_from_one_collection_to_the_next(index: VectorIndex, name: str) -> None:
    for version, count in (("1", 3), ("2", 5)):
        index.create(f"{name}-{version}", DIM)
        index.upsert(f"{name}-{version}", clips(count))
    assert index.alias(name) is None
    assert index.alias(name, f"{name}-1") == f"{name}-1"
    assert index.alias(name, f"{name}-2") == f"{name}-2"
    assert index.alias(name) == f"{name}-2"
    assert index.count(f"{name}-1") == 3
    assert index.alias(previous_of(name)) == f"{name}-1"
    index.alias(name, f"{name}-2")
    assert index.alias(previous_of(name)) == f"{name}-1"
    index.alias(name, f"{name}-1", keep=False)
    assert (index.alias(name), index.alias(previous_of(name))) == (f"{name}-1", f"{name}-1")
    for version in "12":
        index.delete(f"{name}-{version}")


def test_clips_are_deleted_by_id_and_by_filter(index: VectorIndex, name: str) -> None:
    index.create(name, DIM)
    index.upsert(name, clips())
    index.delete(name, [clips()[0].video_id, "unknown"])
    assert index.count(name) == 39
    index.delete(name, filters=Filters(signer="B"))
    assert index.count(name) == 19
    index.delete(name)
    with pytest.raises(InputError, match=name):
        index.count(name)
    index.delete(name)  # once more is no error


def test_a_collection_keeps_its_width(index: VectorIndex, name: str) -> None:
    index.create(name, DIM)
    with pytest.raises(CicoError, match="width 16, not 8"):
        index.create(name, 8)
    index.delete(name)


@pytest.mark.parametrize("bad", ["", "../up", "a/b", ".hidden", "x" * 200])
def test_a_name_that_could_leave_the_folder_is_refused(index: VectorIndex, bad: str) -> None:
    with pytest.raises(InputError):
        index.create(bad, DIM)


def test_an_embedded_index_survives_its_process(tmp_path: Path) -> None:
    with open_index(str(tmp_path)) as index:
        index.create("c", DIM)
        index.upsert("c", clips())
        index.alias("live", "c")
    with open_index(str(tmp_path), must_exist=True) as index:
        assert index.alias("live") == "c"
        assert index.count("c") == 40
        assert index.query("c", clips()[3].tokens, limit=1)[0].video_id == clips()[3].video_id


def test_what_was_added_before_a_kill_is_still_there(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_vector_index import DIM, clips, open_index
index = open_index({str(tmp_path)!r})
index.create("c", DIM)
index.upsert("c", clips())
with open(f"{tmp_path}/collections/c/tokens.f16", "ab") as file:
    file.write(b"half a row")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    with open_index(str(tmp_path)) as index:
        assert index.count("c") == 40
        index.upsert("c", clips(50)[40:])
        found = next(index.fetch("c", [clips(50)[45].video_id], tokens=True))
        assert found.tokens is not None
        assert np.allclose(found.tokens, clips(50)[45].tokens, atol=1e-2)


def test_a_second_process_is_told_who_owns_the_index(tmp_path: Path) -> None:
    with open_index(str(tmp_path)) as index:
        index.create("c", DIM)
        for change in ("count('c')", "create('d', 4)"):
            program = (
                f"from cico_platform.index.base import open_index; open_index({str(tmp_path)!r}).{change}"
            )
            result = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
            )
            assert result.returncode
            assert f"in use by process {os.getpid()}" in result.stderr


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no index"):
        open_index(str(tmp_path / "none"), must_exist=True)
    assert not (tmp_path / "none").exists()


def test_a_field_that_is_null_is_not_filtered_by() -> None:
    assert Filters(corpus=None, signer=None).is_empty()
    assert Filters.model_validate({"signer": "A", "split": None}).values() == {"signer": ["A"]}


def test_filters_refuse_what_they_do_not_know() -> None:
    for wrong in (
        {"colour": "red"},
        {"signer": 3},
        {"min_duration": -1},
        {"max_duration": json.loads("NaN")},
    ):
        with pytest.raises(ValueError, match=r"1 validation error|validation error"):
            Filters.model_validate(wrong)


@pytest.mark.parametrize("quantization", ["scalar", "product"])
def test_quantised_tokens_find_what_they_should(
    index: VectorIndex, name: str, quantization: Quantization
) -> None:
    made = clips(60)
    index.create(name, DIM, quantization)
    index.upsert(name, made)
    index.alias(f"{name}-live", name)
    own = made[7]
    hits = index.query(name, own.tokens, limit=10, candidates=60)
    assert hits[0].video_id == own.video_id
    kept = next(index.fetch(name, [own.video_id], tokens=True)).tokens
    assert kept is not None
    cosines = (unit_rows(kept) * unit_rows(own.tokens)).sum(axis=1)
    assert cosines.min() > (0.999 if quantization == "scalar" else 0.8)
    index.upsert(name, made[:3])
    index.delete(name, [made[0].video_id])
    assert index.count(name) == 59
    index.delete(name)
    index.create(name, DIM, quantization)
    assert (index.count(name), list(index.query(name, own.tokens, candidates=5))) == (0, [])
    index.delete(name)


def test_neighbouring_tokens_become_one() -> None:
    tokens = np.repeat(np.eye(3, DIM, dtype=np.float32), [2, 2, 1], axis=0)
    merged, starts = merge_tokens(tokens, [0, 4, 8, 12, 16], 2)
    assert starts == [4, 12, 16]
    np.testing.assert_allclose(merged, np.eye(3, DIM), atol=1e-3)
    assert merge_tokens(tokens, [0, 4, 8, 12, 16], 1)[0] is tokens
    with pytest.raises(InputError, match="quantised as 'ternary'"):
        TokenStorage("ternary")  # type: ignore[arg-type]


def test_a_disk_without_space_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_index(str(tmp_path / "index")) as opened:
        opened.create("filled", DIM)
        opened.upsert("filled", clips(4))
        monkeypatch.setattr(disk_space, "RESERVE_BYTES", 1 << 60)  # more than any disk has
        with pytest.raises(CicoError, match=r"^the disk is full at '.*free some space"):
            opened.create("other", DIM)
        with pytest.raises(CicoError, match="the disk is full"):
            opened.upsert("filled", clips(8))
        assert opened.count("filled") == 4
        assert not (tmp_path / "index/collections/other").exists()
