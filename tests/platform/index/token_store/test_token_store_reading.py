"""Readers of a token store get the tokens that were written, of living rows, whatever they ask for."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_stores import DIM, assert_holds, drawn, store_of, write

from cico_model.ragged import ragged_scores
from cico_platform.errors import InputError
from cico_platform.index.token_store import id_table, mapping, open_segment
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.errors import DamagedFileError, DeadRowsError
from cico_platform.index.token_store.row_numbers import NO_ROW, as_rows, row_numbers, segment_number, split
from cico_platform.index.token_store.store import TokenStore

A, B, C = (drawn(names, seed=seed) for seed, names in enumerate(("abc", "defg", "h")))


@given(name=st.text("0123456789abcdef", min_size=32, max_size=32), rows=st.integers(1, 1 << 20))
def test_row_numbers_name_segment_and_row_and_fit_signed_integers(name: str, rows: int) -> None:
    number = segment_number(name)
    whole = row_numbers(number, np.array([0, rows - 1]))
    segments, within = split(whole)
    assert segments.tolist() == [number, number]
    assert within.tolist() == [0, rows - 1]
    assert int(whole.max()) < 2**63


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_tokens_come_in_the_order_of_the_rows(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    segments = [drawn([f"{s}-{i}" for i in range(size)], seed=s) for s, size in enumerate(sizes)]
    folder = tmp_path_factory.mktemp("store")
    rows = np.concatenate(store_of(folder, *segments))
    tokens = [each for clips in segments for each in clips.values()]
    picked = data.draw(st.lists(st.integers(0, len(tokens) - 1), max_size=12))
    with TokenStore.open(folder) as store:
        found = store.tokens(rows[np.array(picked, int)])
        assert_holds(store, {name: each for clips in segments for name, each in clips.items()})
    assert found.tokens.dtype == np.float16
    assert found.tokens.shape == (sum(len(tokens[i]) for i in picked), DIM)
    assert found.lengths.dtype == np.int32
    assert found.lengths.tolist() == [len(tokens[i]) for i in picked]
    if picked:
        np.testing.assert_array_equal(found.tokens, np.concatenate([tokens[i] for i in picked]))


def test_what_is_read_is_scored_as_it_is(tmp_path: Path) -> None:
    (rows,) = store_of(tmp_path, B)
    text = np.random.default_rng(1).normal(size=(3, DIM)).astype(np.float32)
    with TokenStore.open(tmp_path) as store:
        found = store.tokens(rows)
    expected = [ragged_scores(tokens, np.array([len(tokens)]), text)[0] for tokens in B.values()]
    np.testing.assert_allclose(ragged_scores(found.tokens, found.lengths, text), expected, rtol=1e-5)


def test_opening_opens_no_segment(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, A, B)
    with TokenStore.open(tmp_path) as store:
        gone = store.segments[1]
        for file in gone.files:
            (tmp_path / "segments" / file.name).unlink()
        assert store.tokens(first).lengths.sum() == sum(map(len, A.values()))
        with pytest.raises(DamagedFileError, match=gone.token_file.name):
            store.tokens(second)


def test_open_segments_hold_no_descriptors(tmp_path: Path) -> None:
    rows = store_of(tmp_path, *(drawn([str(number)], seed=number) for number in range(20)))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with TokenStore.open(tmp_path) as store:
        store.tokens(np.concatenate(rows))
        store.find(["1", "19"])
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_system_takes_the_advice_on_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses addresses that are no page's, without a word."""
    madvise, answers = mapping._madvise(), []
    monkeypatch.setattr(mapping, "_madvise", lambda: lambda *told: answers.append(madvise(*told)))
    rows = np.concatenate(store_of(tmp_path, drawn([f"{number}" for number in range(300)])))
    with TokenStore.open(tmp_path) as store:
        store.tokens(rows[::7])
    assert len(answers) == 1 + len(rows[::7])
    assert set(answers) == {0}


def test_clips_are_found_by_their_ids(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, A, B)
    with TokenStore.open(tmp_path) as store:
        assert store.find(["g", "nobody", "a", "g"]).tolist() == [second[3], NO_ROW, first[0], second[3]]
        assert store.find([]).tolist() == []
        assert not store.lives(as_rows([NO_ROW]))[0]


def test_ids_with_equal_hashes_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def same(names: list[str]) -> np.ndarray:
        return np.full(len(names), 7, np.uint64)

    monkeypatch.setattr(id_table, "id_hashes", same)
    monkeypatch.setattr("cico_platform.index.token_store.store.id_hashes", same)
    first, second = store_of(tmp_path, A, B)
    with TokenStore.open(tmp_path) as store:
        assert store.find(["c", "d", "x"]).tolist() == [first[2], second[0], NO_ROW]


def test_a_dead_row_says_so(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, A, B)
    mark_dead(tmp_path, first[1:2])
    with TokenStore.open(tmp_path) as store:
        assert store.lives(np.concatenate([first, second])).tolist() == [True, False, True, *[True] * 4]
        with pytest.raises(DeadRowsError, match="no living clip") as caught:
            store.tokens(first)
        assert caught.value.rows == [int(first[1])]
        kept = store.tokens(first, dead="drop")
        assert kept.rows.tolist() == [int(first[0]), int(first[2])]
        np.testing.assert_array_equal(kept.tokens, np.concatenate([A["a"], A["c"]]))
        assert store.find(["b"]).tolist() == [NO_ROW]
        assert len(store) == 6


def test_a_row_of_no_segment_does_not_live(tmp_path: Path) -> None:
    (rows,) = store_of(tmp_path, A)
    beyond = rows[-1:] + np.uint64(1)
    with TokenStore.open(tmp_path) as store:
        assert not store.lives(np.concatenate([beyond, as_rows([3])])).any()
        with pytest.raises(DeadRowsError):
            store.tokens(beyond)


def test_an_empty_store_answers(tmp_path: Path) -> None:
    create_store(tmp_path, DIM)
    with TokenStore.open(tmp_path) as store:
        assert (len(store), store.dim, store.segments) == (0, DIM, ())
        assert not store.lives(as_rows([1])).any()
        assert store.find(["a"]).tolist() == [NO_ROW]
        assert store.tokens(as_rows([])).tokens.shape == (0, DIM)
        assert list(store.clips()) == []


def test_a_reader_keeps_its_generation_until_it_refreshes(tmp_path: Path) -> None:
    (first,) = store_of(tmp_path, A)
    with TokenStore.open(tmp_path) as store:
        assert not store.refresh()
        info = write(tmp_path, store.layout, B)
        add_segments(tmp_path, [info], dead=first[:1])
        assert store.lives(first).all()
        assert not store.lives(info.row_numbers()).any()
        assert store.refresh()
        assert store.lives(first).tolist() == [False, True, True]
        assert_holds(store, {**B, "b": A["b"], "c": A["c"]})


def test_clip_keys_are_listed(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    info = write(tmp_path, layout, A, key="version 2")
    add_segments(tmp_path, [info])
    with TokenStore.open(tmp_path) as store:
        (table,) = store.clips()
    assert set(table["clip_key"].to_pylist()) == {"version 2"}
    assert sorted(table["row"].to_pylist()) == info.row_numbers().tolist()


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "photo.jpg"):
        with pytest.raises(InputError, match="holds no token store"):
            TokenStore.open(folder)


def manifest_of(folder: Path) -> Path:
    (path,) = folder.glob("manifest-*")
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b'{"format": "cico token store"}',
        b'{"format": "parquet", "version": 1, "sha256": ""}',
    ],
)
def test_a_foreign_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    store_of(tmp_path, A)
    manifest_of(tmp_path).write_bytes(content)
    with pytest.raises(DamagedFileError, match="is no manifest"):
        TokenStore.open(tmp_path)


def test_a_later_version_is_refused_with_advice(tmp_path: Path) -> None:
    store_of(tmp_path, A)
    path = manifest_of(tmp_path)
    head, body = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps({**json.loads(head), "version": 2}).encode() + b"\n" + body)
    with pytest.raises(DamagedFileError, match="is of version 2, and this program reads version 1"):
        TokenStore.open(tmp_path)


def test_any_changed_byte_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    store_of(tmp_path, A)
    path = manifest_of(tmp_path)
    whole = path.read_bytes()
    for position in range(0, len(whole) - 1, 7):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(DamagedFileError, match=path.name):
            TokenStore.open(tmp_path)
    for length in (0, 10, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=path.name):
            TokenStore.open(tmp_path)


def test_an_older_manifest_never_takes_the_place_of_a_damaged_one(tmp_path: Path) -> None:
    (rows,) = store_of(tmp_path, A)
    before = manifest_of(tmp_path)
    content = before.read_bytes()
    mark_dead(tmp_path, rows[:1])
    manifest_of(tmp_path).write_bytes(b"damaged")
    before.write_bytes(content)
    with pytest.raises(DamagedFileError):
        TokenStore.open(tmp_path)


@pytest.mark.parametrize("kind", ["tokens", "offsets", "ids"])
@pytest.mark.parametrize("damage", ["truncated", "longer", "missing"])
def test_files_of_another_size_are_refused_by_name(tmp_path: Path, kind: str, damage: str) -> None:
    (rows,) = store_of(tmp_path, B)
    (path,) = (tmp_path / "segments").glob(f"*.{kind}*")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if damage == "truncated" else path.read_bytes() + b"x")
    with TokenStore.open(tmp_path) as store, pytest.raises(DamagedFileError, match=path.name):
        store.find(["d"]) if kind == "ids" else store.tokens(rows)


@pytest.mark.parametrize("kind", ["offsets", "ids"])
def test_small_files_with_changed_bytes_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    (rows,) = store_of(tmp_path, B)
    (path,) = (tmp_path / "segments").glob(f"*.{kind}*")
    content = bytearray(path.read_bytes())
    content[16] ^= 1  # of the offsets: one that is as likely as the right one
    path.write_bytes(content)
    with TokenStore.open(tmp_path) as store, pytest.raises(DamagedFileError, match=path.name):
        store.find(["d"]) if kind == "ids" else store.tokens(rows)


def test_a_damaged_file_of_dead_rows_is_refused_by_name(tmp_path: Path) -> None:
    (rows,) = store_of(tmp_path, A)
    mark_dead(tmp_path, rows[:2])
    (path,) = tmp_path.glob("dead-*")
    content = path.read_bytes()
    for damaged in (content[:8], bytes([content[0] ^ 1]) + content[1:]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=path.name):
            TokenStore.open(tmp_path)
    path.unlink()
    with pytest.raises(DamagedFileError, match=path.name):
        TokenStore.open(tmp_path)


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    from pydantic import ValidationError

    from cico_platform.index.token_store.records import StoredFile

    for name in ("../secret", "/etc/passwd", ".hidden", "a/b", ""):
        with pytest.raises(ValidationError):
            StoredFile(name=name, bytes=1, sha256="0" * 64)


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="the system does not tell what is mapped")
def test_what_was_read_does_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads all of a large store keeps only a bounded part of it mapped."""
    monkeypatch.setattr(open_segment, "MOST_MAPPED", 1 << 20)
    clips = {str(i): np.full((4096, DIM), i, np.float16) for i in range(256)}
    (rows,) = store_of(tmp_path, clips)
    size = sum(tokens.nbytes for tokens in clips.values())
    with TokenStore.open(tmp_path) as store:
        for row in rows:
            last = store.tokens(as_rows([row])).tokens
        assert np.array_equal(last, clips["255"])
        assert 0 < resident(tmp_path) < size / 4
        assert np.array_equal(store.tokens(rows[:1]).tokens, clips["0"])


def resident(folder: Path) -> int:
    """Bytes of this process' memory that are pages of files in the folder."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = str(folder) in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1]) << 10
    return found
