"""A token store in a real S3: writers exclude each other, readers follow."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import BUCKET, s3_server
from token_stores import DIM, assert_holds, drawn, write
from upath import UPath

from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.compaction import compact
from cico_platform.index.token_store.files import create, listed, read_bytes
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.verification import verify

A, B, C = (drawn(names, seed=seed) for seed, names in enumerate(("abc", "def", "ghi")))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as environment, pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        yield f"s3://{BUCKET}"


def test_a_file_is_created_once(bucket: str) -> None:
    path = UPath(f"{bucket}/created/file")
    create(path, b"first")
    create(path, b"second")
    assert read_bytes(path) == b"first"


def test_a_store_lives_in_s3(bucket: str, tmp_path: Path) -> None:
    url = f"{bucket}/tokens"
    layout = create_store(url, DIM)
    infos = [write(url, layout, clips) for clips in (A, B, C)]
    threads = [threading.Thread(target=add_segments, args=(url, [info])) for info in infos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with TokenStore.open(url, tmp_path) as store:
        assert store.generation == 4
        assert_holds(store, {**A, **B, **C})
        mark_dead(url, infos[0].row_numbers())
        assert compact(url, cache=tmp_path).erased == 3
        assert store.refresh()
        assert_holds(store, {**B, **C})
    verify(url, tmp_path).check()
    assert len(listed(UPath(url))) == 1
    assert len(listed(UPath(url) / "segments")) == 4
