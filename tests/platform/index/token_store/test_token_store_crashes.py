"""A process may die before any file operation: the store is as before or as after; the next run goes on."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from token_stores import DIM, assert_holds, contents, drawn, write

from cico_platform.errors import InputError
from cico_platform.index.token_store import files
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.compaction import compact, sweep
from cico_platform.index.token_store.files import HashedFile
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.verification import verify

A, B = drawn("abc", seed=1), drawn("def", seed=2)
AFTER = {**A, **B}
del AFTER["a"]
MOST_OPERATIONS = 400


class KilledError(BaseException):
    """The process is dead: nothing that it would still do happens."""


class Dying:
    """Counts file operations and lets none happen from one of them on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
        self.left, self.dead = last, False
        operations: list[tuple[Any, str]] = [
            (os, "replace"),
            (os, "link"),
            (os, "unlink"),
            (os, "fsync"),
            (os, "mkdir"),
            (HashedFile, "__init__"),
            (HashedFile, "write"),
        ]
        for owner, name in operations:
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))
        for name in ("unlink", "replace", "rename", "mkdir"):
            monkeypatch.setattr(Path, name, self._counted(getattr(Path, name)))

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.dead or self.left == 0:
                self.dead = True
                raise KilledError
            self.left -= 1
            return operation(*args, **kwargs)

        return counted


def history(folder: Path) -> None:
    """Build a store, replace nothing twice, forget a clip, erase it. May be run again after any cut."""
    layout = create_store(folder, DIM)
    infos = [write(folder, layout, clips) for clips in (A, B)]
    for info in infos:
        try:
            add_segments(folder, [info])
        except InputError as error:  # its row died before the cut
            if "were marked dead" not in str(error):
                raise
    mark_dead(folder, infos[0].row_numbers()[:1])
    compact(folder)


# States that a cut run may leave.
STATES: list[dict[str, Any]] = [{}, A, {**A, **B}, AFTER]


def check_state(folder: Path) -> None:
    try:
        store = TokenStore.open(folder)
    except InputError:  # no manifest yet
        return
    with store:
        names = sorted(row for table in store.clips() for row in table["video_id"].to_pylist())
        (state,) = (state for state in STATES if sorted(state) == names)
        assert_holds(store, state)
    verify(folder).check()


def test_a_process_may_die_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # what the disk does is not seen here, and takes long
    for last in range(MOST_OPERATIONS):
        folder = tmp_path / str(last)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patched:
            dying = Dying(patched, last)
            with suppress(KilledError):
                history(folder)
        check_state(folder)
        history(folder)
        with TokenStore.open(folder) as store:
            assert_holds(store, AFTER)
        verify(folder).check()
        sweep(folder)
        assert verify(folder).unused == ()
        assert A["a"].tobytes() not in contents(folder)
        if not dying.dead:
            break
    assert not dying.dead
    assert last > 60  # as many operations, at least, were cut


def test_a_fault_that_is_an_error_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = create_store(tmp_path, DIM)
    info = write(tmp_path, layout, A)
    add_segments(tmp_path, [info])
    for owner, name in ((files.os, "fsync"), (Path, "replace"), (files.os, "link")):
        with monkeypatch.context() as patched:

            def fail(*_: object, **__: object) -> None:
                raise OSError(5, "Input/output error")

            patched.setattr(owner, name, fail)
            with pytest.raises(Exception, match="Input/output error"):
                mark_dead(tmp_path, info.row_numbers()[:1])
            with pytest.raises(Exception, match="Input/output error"):
                add_segments(tmp_path, [write(tmp_path, layout, B)])
        assert list(tmp_path.rglob("*.partial")) == []
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, A)
    assert np.array_equal(store.find(["a"]), info.row_numbers()[:1])
