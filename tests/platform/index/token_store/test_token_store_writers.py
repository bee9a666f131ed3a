"""Several writers change one store at once: no change is lost, and none is seen in part."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from token_stores import DIM, assert_holds, drawn, store_of, write
from upath import UPath

from cico_platform.index.token_store import manifests
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.errors import ConflictError
from cico_platform.index.token_store.store import TokenStore
from cico_platform.storage import Place

A, B, C, D = (drawn(names, seed=seed) for seed, names in enumerate(("ab", "cd", "ef", "gh")))


@pytest.fixture(params=["folder", "url"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path if request.param == "folder" else UPath(f"memory://{tmp_path.name}-writers")


def test_writers_do_not_lose_each_others_changes(place: Place, tmp_path: Path) -> None:
    layout = create_store(place, DIM)
    clips = {
        f"{writer}-{number}": drawn([f"{writer}-{number}"]) for writer in range(4) for number in range(4)
    }
    failures: list[BaseException] = []

    def work(writer: int) -> None:
        try:
            for number in range(4):
                info = write(place, layout, clips[f"{writer}-{number}"])
                add_segments(place, [info])
                if number % 2:
                    mark_dead(place, info.row_numbers())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    expected = {
        name: tokens
        for writer in range(4)
        for number in (0, 2)
        for name, tokens in clips[f"{writer}-{number}"].items()
    }
    with TokenStore.open(place, tmp_path / "cache") as store:
        assert store.generation == 1 + 16 + 8
        assert_holds(store, expected)
    names = [path.name for path in place.iterdir() if path.name != "cache"]
    assert len([name for name in names if name.startswith("manifest-")]) == 1
    assert len([name for name in names if name.startswith("dead-")]) == 1


def test_a_writer_that_was_overtaken_by_many_loses_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its generation was created and removed by others before it creates its own of the same number."""
    layout = create_store(place, DIM)
    slow, *others = (write(place, layout, clips) for clips in (A, B, C, D))
    create, waiting = manifests.create, [True]

    def overtaken(target: Any, content: bytes) -> None:
        if waiting.pop() if waiting else False:
            for info in others:
                add_segments(place, [info])
        create(target, content)

    monkeypatch.setattr(manifests, "create", overtaken)
    add_segments(place, [slow])
    with TokenStore.open(place, tmp_path / "cache") as store:
        assert_holds(store, {**A, **B, **C, **D})
        assert store.generation == 5
    assert len(list(place.glob("manifest-*"))) == 1


def test_clips_are_replaced_in_one_step(tmp_path: Path) -> None:
    """Whatever a reader's generation is, it sees a clip once: as it was, or as it is."""
    (old,) = store_of(tmp_path, A)
    newer = {name: -tokens for name, tokens in A.items()}
    layout = create_store(tmp_path, DIM)
    info = write(tmp_path, layout, newer, recipe="newer")
    new = info.row_numbers()
    before, after = TokenStore.open(tmp_path), TokenStore.open(tmp_path)
    # The engine may name the new rows before they are committed, and the old ones after they died.
    both = np.concatenate([old, new])
    assert before.tokens(both, dead="drop").rows.tolist() == old.tolist()
    add_segments(tmp_path, [info], dead=old)
    after.refresh()
    assert before.tokens(both, dead="drop").rows.tolist() == old.tolist()
    assert after.tokens(both, dead="drop").rows.tolist() == new.tolist()
    assert_holds(before, A)
    assert_holds(after, newer)


def test_a_change_that_is_always_overtaken_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (rows,) = store_of(tmp_path, A)
    monkeypatch.setattr(manifests, "SECONDS_BETWEEN_ATTEMPTS", 0)
    create, overtaking = manifests.create, []

    def overtaken(target: Any, content: bytes) -> None:
        if not overtaking:
            overtaking.append(True)
            name = f"x{len(list(tmp_path.glob('segments/*')))}"
            add_segments(tmp_path, [write(tmp_path, create_store(tmp_path, DIM), drawn([name]))])
            overtaking.pop()
        create(target, content)

    monkeypatch.setattr(manifests, "create", overtaken)
    with pytest.raises(ConflictError, match="all the time"):
        mark_dead(tmp_path, rows)
    with TokenStore.open(tmp_path) as store:
        assert store.lives(rows).all()
    assert list(tmp_path.glob("dead-*")) == []


def test_a_disk_without_hard_links_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first, _ = store_of(tmp_path, A, B)
    mark_dead(tmp_path, first)
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, B)
