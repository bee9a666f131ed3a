"""Remote stores are read through copies: verified, bounded, shared, continued, and erased."""

import errno
import itertools
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from token_stores import DIM, assert_holds, contents, drawn, store_of
from upath import UPath

from cico_platform import shard_output
from cico_platform.errors import CicoError
from cico_platform.index.token_store import download
from cico_platform.index.token_store.cache import SegmentCache
from cico_platform.index.token_store.changes import mark_dead
from cico_platform.index.token_store.compaction import compact
from cico_platform.index.token_store.errors import DamagedFileError, NoRoomError
from cico_platform.index.token_store.leases import FOLDER as LEASES
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.verification import verify

A, B, C = (drawn(names, seed=seed) for seed, names in enumerate(("abc", "def", "ghi")))
NUMBERS = itertools.count()


@pytest.fixture
def url() -> UPath:
    return UPath(f"memory://tokens-{next(NUMBERS)}")


class Requests:
    """What was read of a store, as (name, begin, end)."""

    def __init__(self) -> None:
        self.ranges: list[tuple[str, int, int]] = []

    def of(self, suffix: str) -> list[tuple[str, int, int]]:
        return [each for each in self.ranges if each[0].endswith(suffix)]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    seen, cat_file = Requests(), MemoryFileSystem.cat_file

    def recorded(
        self: Any, path: str, start: int | None = None, end: int | None = None, **rest: Any
    ) -> bytes:
        if start is not None and end is not None:
            seen.ranges.append((path, start, end))
        return cat_file(self, path, start, end, **rest)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", recorded)
    return seen


def copies(cache: Path, suffix: str = "") -> list[Path]:
    return sorted(path for path in cache.glob(f"*/*{suffix}") if path.parent.name != LEASES)


def test_a_remote_store_is_read_through_copies(url: UPath, tmp_path: Path, requests: Requests) -> None:
    store_of(url, A, B)
    with TokenStore.open(url, tmp_path) as store:
        assert copies(tmp_path) == []
        assert_holds(store, {**A, **B})
        assert len(copies(tmp_path)) == 6
    with TokenStore.open(url, tmp_path) as store:
        before = len(requests.ranges)
        assert_holds(store, {**A, **B})
        assert len(requests.ranges) == before


def test_only_what_is_needed_is_copied(url: UPath, tmp_path: Path) -> None:
    first, _ = store_of(url, A, B)
    with TokenStore.open(url, tmp_path) as store:
        store.tokens(first)
        assert len(copies(tmp_path, ".tokens")) == 1
        assert copies(tmp_path, ".ids.arrow") == []
        store.find(["a"])
        assert len(copies(tmp_path, ".ids.arrow")) == 2
        assert len(copies(tmp_path, ".tokens")) == 1


def test_a_cache_keeps_within_its_bytes_and_drops_the_least_recently_used(url: UPath, tmp_path: Path) -> None:
    one = np.ones((50, DIM), np.float16)
    rows = np.concatenate(store_of(url, {"a": one}, {"b": 2 * one}, {"c": 3 * one}))
    size = one.nbytes + 16
    cache = SegmentCache(tmp_path, 2 * size)
    with TokenStore.open(url, cache) as store:
        for picked in (0, 1, 0, 2):
            assert store.tokens(rows[[picked]]).tokens[0, 0] == picked + 1
            assert cache.bytes <= 2 * size
        held = [path.read_bytes()[:2] for path in copies(tmp_path, ".tokens")]
        assert sorted(held) == sorted(np.float16(value).tobytes() for value in (1, 3))
        # More segments than the cache holds, in one request.
        assert store.tokens(rows).tokens[::50, 0].tolist() == [1, 2, 3]
        assert cache.bytes <= 2 * size


def test_of_copies_that_nobody_uses_the_least_recently_used_goes(url: UPath, tmp_path: Path) -> None:
    one = np.ones((50, DIM), np.float16)
    rows = np.concatenate(store_of(url, {"a": one}, {"b": 2 * one}, {"c": 3 * one}))
    cache = SegmentCache(tmp_path, 2 * (one.nbytes + 16))
    for picked in (1, 0, 1):
        with TokenStore.open(url, cache) as store:  # each one is closed before the next one is opened
            store.tokens(rows[[picked]])
    with TokenStore.open(url, cache) as store:
        store.tokens(rows[[2]])
    held = [path.read_bytes()[:2] for path in copies(tmp_path, ".tokens")]
    assert sorted(held) == sorted(np.float16(value).tobytes() for value in (2, 3))


def test_copies_in_use_by_another_process_are_not_removed(url: UPath, tmp_path: Path) -> None:
    one = np.ones((50, DIM), np.float16)
    rows = np.concatenate(store_of(url, {"a": one}, {"b": 2 * one}))
    size = one.nbytes + 16
    # Two caches of one folder are to each other as two processes are: each has its own locked list.
    first, second = SegmentCache(tmp_path, size), SegmentCache(tmp_path, size)
    user = TokenStore.open(url, first)
    user.tokens(rows[:1])
    with TokenStore.open(url, second) as store:
        (path,) = copies(tmp_path, ".tokens")
        with pytest.raises(NoRoomError, match="no room"):
            store.tokens(rows[1:])
        assert copies(tmp_path, ".tokens") == [path]
        assert copies(tmp_path, ".part") == []
        assert store.tokens(rows[:1]).tokens[0, 0] == 1  # a copy is shared
    with TokenStore.open(url, second) as store:
        user.close()
        assert store.tokens(rows[1:]).tokens[0, 0] == 2


def test_what_a_killed_process_had_in_use_is_free(url: UPath, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cico_platform.index.token_store.leases import Lease;"
        "Lease(Path(sys.argv[1])).take('x/y'); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list((tmp_path / LEASES).iterdir())) == 1
    from cico_platform.index.token_store.leases import Lease, names_in_use

    own = Lease(tmp_path)
    own.take("a/b")
    assert names_in_use(tmp_path) == {"a/b"}
    assert list((tmp_path / LEASES).iterdir()) == [own.path]
    own.take("a/b")
    own.give_back("a/b")
    assert names_in_use(tmp_path) == {"a/b"}
    own.give_back("a/b")
    assert names_in_use(tmp_path) <= {""}
    own.close()


def test_a_file_larger_than_the_cache_is_an_error_with_advice(url: UPath, tmp_path: Path) -> None:
    (rows,) = store_of(url, A)
    with (
        TokenStore.open(url, SegmentCache(tmp_path, 8)) as store,
        pytest.raises(NoRoomError, match="give it more"),
    ):
        store.tokens(rows)
    assert copies(tmp_path) == []


def test_a_cut_download_goes_on_where_it_stopped(
    url: UPath, tmp_path: Path, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    (rows,) = store_of(url, {"a": np.arange(100 * DIM, dtype=np.float16).reshape(100, DIM)})
    monkeypatch.setattr(download, "CHUNK", 256)
    recorded, cut = MemoryFileSystem.cat_file, [True]

    def cutting(self: Any, path: str, start: int | None = None, end: int | None = None, **rest: Any) -> bytes:
        if path.endswith(".tokens") and start == 768 and cut:
            cut.pop()
            raise KeyboardInterrupt
        return recorded(self, path, start, end, **rest)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cutting)
    with TokenStore.open(url, tmp_path) as store, pytest.raises(KeyboardInterrupt):
        store.tokens(rows)
    (part,) = copies(tmp_path, ".part")
    assert part.stat().st_size == 768
    with TokenStore.open(url, tmp_path) as store:
        assert store.tokens(rows).tokens[:, 0].tolist() == [DIM * i for i in range(100)]
    begins = [begin for _, begin, _ in requests.of(".tokens")]
    assert begins == sorted(set(begins))  # no byte was asked for twice
    assert copies(tmp_path, ".part") == []


@pytest.mark.parametrize("left", [b"damaged", b"x" * 10_000])
def test_what_a_cut_download_left_is_not_trusted(url: UPath, tmp_path: Path, left: bytes) -> None:
    (rows,) = store_of(url, A)
    with TokenStore.open(url, tmp_path) as store:
        store.tokens(rows)
    (path,) = copies(tmp_path, ".tokens")
    part = path.with_name(f"{path.name}.{path.stat().st_size}.part")
    path.unlink()
    part.write_bytes(left)
    with TokenStore.open(url, tmp_path) as store:
        assert_holds(store, A)


@pytest.mark.parametrize("suffix", [".tokens", ".offsets", ".ids.arrow"])
@pytest.mark.parametrize("damage", ["changed", "truncated", "empty"])
def test_a_damaged_copy_is_fetched_again(url: UPath, tmp_path: Path, suffix: str, damage: str) -> None:
    store_of(url, A)
    with TokenStore.open(url, tmp_path) as store:
        assert_holds(store, A)
    (path,) = copies(tmp_path, suffix)
    whole = path.read_bytes()
    changed = whole[:5] + bytes([whole[5] ^ 1]) + whole[6:]
    path.write_bytes({"changed": changed, "truncated": whole[:-1], "empty": b""}[damage])
    with TokenStore.open(url, tmp_path) as store:
        assert_holds(store, A)
    assert path.read_bytes() == whole


def test_a_whole_copy_without_its_mark_is_kept(url: UPath, tmp_path: Path, requests: Requests) -> None:
    (rows,) = store_of(url, A)
    with TokenStore.open(url, tmp_path) as store:
        store.tokens(rows)
    for path in copies(tmp_path):
        path.write_bytes(path.read_bytes())
    before = len(requests.ranges)
    with TokenStore.open(url, tmp_path) as store:
        store.tokens(rows)
    assert len(requests.ranges) == before


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing"])
def test_a_damaged_original_is_an_error_that_names_it(url: UPath, tmp_path: Path, damage: str) -> None:
    (rows,) = store_of(url, A)
    (path,) = (url / "segments").glob("*.tokens")
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[:-1] if damage == "truncated" else whole[:-1] + bytes([whole[-1] ^ 1]))
    with TokenStore.open(url, tmp_path) as store, pytest.raises(DamagedFileError, match=path.name):
        store.tokens(rows)
    assert copies(tmp_path, ".tokens") == []
    assert copies(tmp_path, ".part") == []
    assert any(path.name in problem for problem in verify(url, tmp_path).problems)


def test_passing_faults_are_tried_again(url: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_output, "SECONDS_BETWEEN_ATTEMPTS", 0)
    store_of(url, A)
    cat_file, calls = MemoryFileSystem.cat_file, itertools.count()

    def faulty(self: Any, path: str, start: int | None = None, end: int | None = None, **rest: Any) -> bytes:
        if start is not None and next(calls) % 2 == 0:
            raise OSError("slow down")
        return cat_file(self, path, start, end, **rest)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", faulty)
    with TokenStore.open(url, tmp_path) as store:
        assert_holds(store, A)


def test_a_store_that_fails_is_named(url: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_output, "SECONDS_BETWEEN_ATTEMPTS", 0)
    (rows,) = store_of(url, A)
    with TokenStore.open(url, tmp_path) as store:

        def failing(*_: object, **__: object) -> bytes:
            raise OSError("no route to host")

        monkeypatch.setattr(MemoryFileSystem, "cat_file", failing)
        with pytest.raises(CicoError, match="no route to host"):
            store.tokens(rows)


def test_a_full_disk_is_said(url: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (rows,) = store_of(url, A)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    with TokenStore.open(url, tmp_path) as store, pytest.raises(CicoError, match="free some space"):
        store.tokens(rows)
    assert copies(tmp_path) == []


def test_many_readers_copy_a_file_once(url: UPath, tmp_path: Path, requests: Requests) -> None:
    rows = np.concatenate(store_of(url, A, B, C))
    stores = [TokenStore.open(url, SegmentCache(tmp_path)) for _ in range(3)]
    failures: list[BaseException] = []

    def read(store: TokenStore) -> None:
        try:
            assert_holds(store, {**A, **B, **C})
            store.tokens(rows)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(store,)) for store in stores for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(requests.ranges) == len(set(requests.ranges)) == 9


def test_erased_clips_leave_the_cache_as_soon_as_nobody_uses_them(url: UPath, tmp_path: Path) -> None:
    rows, _ = store_of(url, A, B)
    cache = tmp_path / "cache"
    one, other = (TokenStore.open(url, SegmentCache(cache)) for _ in range(2))
    for store in (one, other):
        store.tokens(rows)
    mark_dead(url, rows[:1])
    compact(url, cache=tmp_path / "another")
    assert A["a"].tobytes() in contents(cache)
    assert one.refresh()
    assert A["a"].tobytes() in contents(cache)  # the other one may still read it
    assert other.refresh()
    assert not one.refresh()
    assert A["a"].tobytes() not in contents(cache)
    assert A["a"].tobytes() not in contents(tmp_path / "another")
    for store in (one, other):
        assert_holds(store, {"b": A["b"], "c": A["c"], **B})


def test_erased_copies_go_when_their_last_user_has_ended(url: UPath, tmp_path: Path) -> None:
    (rows,) = store_of(url, A)
    cache = tmp_path / "cache"
    one, other = (TokenStore.open(url, SegmentCache(cache)) for _ in range(2))
    other.tokens(rows)
    mark_dead(url, rows[:1])
    compact(url, cache=tmp_path / "another")
    assert one.refresh()
    assert A["a"].tobytes() in contents(cache)
    other.close()
    assert not one.refresh()
    assert A["a"].tobytes() not in contents(cache)


def test_readers_of_a_remote_store_follow_a_compaction(url: UPath, tmp_path: Path) -> None:
    first, second = store_of(url, A, B)
    store = TokenStore.open(url, tmp_path / "cache")
    store.tokens(first)
    mark_dead(url, first[:1])
    compact(url, cache=tmp_path / "another")
    np.testing.assert_array_equal(store.tokens(second).tokens, np.concatenate(list(B.values())))
    assert not store.lives(first[:1])[0]


def test_a_closed_reader_leaves_no_list_and_reads_on(url: UPath, tmp_path: Path) -> None:
    (rows,) = store_of(url, A)
    store = TokenStore.open(url, tmp_path)
    store.tokens(rows)
    assert len(list((tmp_path / LEASES).iterdir())) == 1
    store.close()
    assert list((tmp_path / LEASES).iterdir()) == []
    assert_holds(store, A)
    store.close()


def test_stores_share_a_cache_without_touching_each_other(url: UPath, tmp_path: Path) -> None:
    other = UPath(f"{url}-other")
    store_of(url, A)
    store_of(other, A)
    with TokenStore.open(url, tmp_path) as store:
        assert_holds(store, A)
    with TokenStore.open(other, tmp_path) as store:
        assert_holds(store, A)
    assert len(copies(tmp_path)) == 6
