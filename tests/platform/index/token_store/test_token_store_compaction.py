"""Compaction erases what is dead, moves nothing that lives, and disturbs no reader."""

import os
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_stores import DIM, assert_holds, contents, drawn, store_of, write
from upath import UPath

from cico_platform.index.token_store import compaction, rewriting, writer
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.compaction import compact, sweep
from cico_platform.index.token_store.errors import ConflictError, DeadRowsError
from cico_platform.index.token_store.records import Storage
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.verification import verify

A, B, C = (drawn(names, seed=seed) for seed, names in enumerate(("abcd", "efg", "hi")))


def test_row_numbers_stay_and_segments_are_joined(tmp_path: Path) -> None:
    first, second, third = store_of(tmp_path, A, B, C)
    mark_dead(tmp_path, np.concatenate([first[1:3], third]))
    done = compact(tmp_path)
    assert (done.before, done.after, done.erased) == (3, 1, 4)
    with TokenStore.open(tmp_path) as store:
        (only,) = store.segments
        assert [(each.rows, each.erased) for each in only.ranges] == [(4, 2), (3, 0)]
        assert_holds(store, {"a": A["a"], "d": A["d"], **B})
        assert store.find(["a", "d", "g"]).tolist() == [first[0], first[3], second[2]]
        assert not store.lives(np.concatenate([first[1:3], third])).any()
        with pytest.raises(DeadRowsError):
            store.tokens(first)
    verify(tmp_path).check()
    assert verify(tmp_path).unused == ()


@pytest.mark.parametrize("storage", ["none", "scalar", "product"])
@pytest.mark.parametrize("remote", [False, True])
def test_erased_tokens_and_ids_are_in_no_file(tmp_path: Path, storage: Storage, remote: bool) -> None:
    folder = UPath(f"memory://{tmp_path.name}-erased") if remote else tmp_path
    sample = np.random.default_rng(5).normal(size=(4000, DIM)).astype(np.float16)
    layout = create_store(folder, DIM, storage, sample)
    clips = {f"clip-of-{name}-{i}": sample[3 * i : 3 * i + 3] for i, name in enumerate(["ann", "bob"] * 5)}
    info = write(folder, layout, clips, key="key-of-a-clip")
    add_segments(folder, [info])
    cache = tmp_path / "cache"
    with TokenStore.open(folder, cache) as store:
        encoded = store._codec.encode(np.concatenate(list(clips.values()))).reshape(10, 3, -1)
        store.tokens(store.find(list(clips)))  # the cache has copies

        def everything() -> bytes:
            return _remote_contents(folder) + contents(cache) if remote else contents(tmp_path)

        gone = [i for i, name in enumerate(clips) if "ann" in name]
        traces = [encoded[i].tobytes() for i in gone] + [b"clip-of-ann"]
        traces += [token.tobytes() for i in gone for token in encoded[i]] if storage != "product" else []
        assert all(trace in everything() for trace in traces)
        mark_dead(folder, info.row_numbers()[gone])
        compact(folder, cache=cache)
        store.refresh()
        assert not any(trace in everything() for trace in traces)
        kept = [i for i in range(10) if i not in gone]
        assert all(encoded[i].tobytes() in everything() for i in kept)
        store.tokens(info.row_numbers()[kept])


def _remote_contents(folder: Any) -> bytes:
    return b"\0".join(folder.fs.cat(path) for path in folder.fs.find(folder.path))


def test_a_segment_of_which_all_rows_are_dead_vanishes(tmp_path: Path) -> None:
    first, _ = store_of(tmp_path, A, B)
    mark_dead(tmp_path, first)
    done = compact(tmp_path, small_bytes=0)
    assert (done.before, done.after, done.erased, done.removed_files) == (1, 0, 4, 4)
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, B)
        assert not store.lives(first).any()
    assert list(tmp_path.glob("dead-*")) == []
    verify(tmp_path).check()


def test_an_empty_store_has_nothing_to_compact(tmp_path: Path) -> None:
    create_store(tmp_path, DIM)
    assert compact(tmp_path) == compaction.Compacted()


def test_large_segments_without_dead_rows_are_left_alone(tmp_path: Path) -> None:
    store_of(tmp_path, A, B)
    before = {path: path.stat().st_ino for path in (tmp_path / "segments").iterdir()}
    assert compact(tmp_path, small_bytes=0).before == 0
    assert {path: path.stat().st_ino for path in (tmp_path / "segments").iterdir()} == before


def test_one_small_segment_is_not_written_for_its_size(tmp_path: Path) -> None:
    store_of(tmp_path, A)
    assert compact(tmp_path).before == 0


def test_joined_segments_have_about_the_target_size(tmp_path: Path) -> None:
    one = np.ones((4, DIM), np.float16)
    segments = [{f"{number}": one} for number in range(10)]
    store_of(tmp_path, *segments)
    with TokenStore.open(tmp_path) as store:
        size = max(segment.bytes for segment in store.segments)
        compact(tmp_path, target_bytes=3 * size)
        store.refresh()
        assert [len(segment.ranges) for segment in store.segments] == [3, 3, 3, 1]
        assert_holds(store, dict.fromkeys("0123456789", one))


def test_few_dead_rows_may_wait(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, A, B)
    mark_dead(tmp_path, np.concatenate([first[:1], second[:2]]))
    assert compact(tmp_path, small_bytes=0, dead_share=0.5).erased == 2
    assert compact(tmp_path, small_bytes=0, dead_share=0.5).erased == 0
    assert compact(tmp_path, small_bytes=0).erased == 1
    assert compact(tmp_path, small_bytes=0).before == 0


def test_readers_go_on_while_files_are_exchanged(tmp_path: Path) -> None:
    """Some segments were open when they were removed, others not."""
    first, second, third = store_of(tmp_path, A, B, C)
    store = TokenStore.open(tmp_path)
    store.tokens(first)
    mark_dead(tmp_path, third[:1])
    compact(tmp_path)
    np.testing.assert_array_equal(store.tokens(first).tokens, np.concatenate(list(A.values())))
    np.testing.assert_array_equal(store.tokens(second).tokens, np.concatenate(list(B.values())))
    with pytest.raises(DeadRowsError):
        store.tokens(third)
    assert store.find(["a", "h", "i"]).tolist()[2] == third[1]


def test_a_listing_that_was_overtaken_says_so(tmp_path: Path) -> None:
    first, *_ = store_of(tmp_path, A, B, C)
    store = TokenStore.open(tmp_path)
    listing = store.clips()
    next(listing)
    mark_dead(tmp_path, first[:1])
    compact(tmp_path)
    with pytest.raises(ConflictError, match="try again"):
        list(listing)


def test_rows_that_die_while_segments_are_written_stay_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = store_of(tmp_path, A, B)
    mark_dead(tmp_path, first[:1])
    rewrite = compaction.rewrite

    def meanwhile(*args: Any) -> Any:
        mark_dead(tmp_path, second[:1])
        add_segments(tmp_path, [write(tmp_path, create_store(tmp_path, DIM), C)])
        return rewrite(*args)

    monkeypatch.setattr(compaction, "rewrite", meanwhile)
    compact(tmp_path)
    monkeypatch.undo()
    living = {**A, **B, **C}
    del living["a"], living["e"]
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, living)
    assert B["e"].tobytes() in contents(tmp_path)
    compact(tmp_path)
    assert B["e"].tobytes() not in contents(tmp_path)
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, living)
    verify(tmp_path).check()


def test_two_compactions_at_once_are_refused_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(tmp_path, A, B)
    rewrite, first = compaction.rewrite, [True]

    def meanwhile(*args: Any) -> Any:
        if first:
            first.pop()
            compact(tmp_path)
        return rewrite(*args)

    monkeypatch.setattr(compaction, "rewrite", meanwhile)
    with pytest.raises(ConflictError, match="another process compacts"):
        compact(tmp_path)
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, {**A, **B})


def test_sweeping_removes_what_was_cut_and_nothing_else(tmp_path: Path) -> None:
    first, _ = store_of(tmp_path, A, B)
    mark_dead(tmp_path, first[:1])
    write(tmp_path, create_store(tmp_path, DIM), C)  # never committed
    (tmp_path / "segments" / ".1-abc.tokens.partial").write_bytes(b"cut")
    (tmp_path / "dead-000000000000-0000000000000000.u64").write_bytes(b"cut")
    (tmp_path / "notes.txt").write_text("of somebody")
    assert len(verify(tmp_path).unused) == 6
    assert sweep(tmp_path)[0] == 6
    assert verify(tmp_path).unused == ()
    assert (tmp_path / "notes.txt").exists()
    verify(tmp_path).check()
    with TokenStore.open(tmp_path) as store:
        assert len(store) == 6


NAMES = st.sets(st.sampled_from("abcdefghij"), min_size=1, max_size=6)
ADD, FORGET = st.tuples(st.just("add_or_replace"), NAMES), st.tuples(st.just("forget"), NAMES)
COMPACT = st.tuples(st.just("compact"), st.sampled_from([0.0, 0.3]), st.sampled_from([0, 1500, 1 << 20]))
CHANGES = st.lists(st.one_of(ADD, ADD, FORGET, COMPACT, st.just(("refresh",))), min_size=8, max_size=12)


class History:
    """A store and a dictionary of what it should hold, changed in the same ways; a reader that is behind."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.layout = folder, create_store(folder, DIM)
        self.reader = TokenStore.open(folder)
        self.clips: dict[str, Any] = {}
        self.rows: dict[str, int] = {}
        self.dead: set[int] = set()
        self.changes = 0

    def add_or_replace(self, names: set[str]) -> None:
        self.changes += 1
        clips = drawn(sorted(names), seed=self.changes)
        info = write(self.folder, self.layout, clips, recipe=f"change {self.changes}")
        replaced = [self.rows[name] for name in clips if name in self.rows]
        add_segments(self.folder, [info], dead=np.array(replaced, np.uint64))
        self.dead.update(replaced)
        self.clips.update(clips)
        self.rows.update(zip(clips, info.row_numbers().tolist(), strict=True))

    def forget(self, names: set[str]) -> None:
        gone = [name for name in sorted(names) if name in self.rows]
        mark_dead(self.folder, np.array([self.rows[name] for name in gone], np.uint64))
        for name in gone:
            self.dead.add(self.rows.pop(name))
            del self.clips[name]

    def compact(self, share: float, small: int) -> None:
        compact(self.folder, dead_share=share, small_bytes=small, target_bytes=3000)
        if share == 0:
            held = sum(segment.clips for segment in TokenStore.open(self.folder).segments)
            assert held == len(self.clips)

    def refresh(self) -> None:
        self.reader.refresh()

    def check(self) -> None:
        with TokenStore.open(self.folder) as store:
            assert_holds(store, self.clips)
            assert store.find(list(self.rows)).tolist() == list(self.rows.values())
            assert not store.lives(np.array(sorted(self.dead), np.uint64)).any()
        # The reader reads rows that lived then and live now, and nothing else of them.
        common = [row for row in self.rows.values() if self.reader.lives(np.array([row], np.uint64))[0]]
        by_row = {row: self.clips[name] for name, row in self.rows.items()}
        found = self.reader.tokens(np.array(common, np.uint64), dead="drop")
        assert found.rows.tolist() == common
        expected = [by_row[row] for row in common]
        np.testing.assert_array_equal(found.tokens, np.concatenate([found.tokens[:0], *expected]))
        verify(self.folder).check()


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_any_history_keeps_rows_and_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(rewriting, "BLOCK", block)
    monkeypatch.setattr(writer, "BLOCK", block)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    numbers = count()

    @settings(max_examples=10, deadline=None)
    @given(changes=CHANGES)
    def run(changes: list[tuple[Any, ...]]) -> None:
        history = History(tmp_path / f"store-{next(numbers)}")
        for name, *values in changes:
            getattr(history, name)(*values)
            history.check()

    run()
