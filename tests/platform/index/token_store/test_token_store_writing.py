"""Workers write segments: named by their content, whole or not at all, whatever happens meanwhile."""

import errno
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from token_stores import DIM, assert_holds, drawn, store_of, write

from cico_platform.errors import CicoError, InputError
from cico_platform.index.token_store.changes import add_segments, create_store, mark_dead
from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.files import HashedFile
from cico_platform.index.token_store.records import Layout
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.writer import SegmentWriter, segment_name, written_segment

A = drawn("abc")
ONE = np.ones((1, DIM), np.float16)


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "segments").iterdir())


def test_a_segment_is_named_by_clips_keys_recipe_and_layout() -> None:
    layout = Layout(dim=4)
    name = segment_name(["a", "b"], ["1", "2"], "r", layout)
    others = [
        segment_name(["a", "c"], ["1", "2"], "r", layout),
        segment_name(["b", "a"], ["1", "2"], "r", layout),
        segment_name(["a", "b"], ["1", "3"], "r", layout),
        segment_name(["a", "b"], ["1", "2"], "s", layout),
        segment_name(["a", "b"], ["1", "2"], "r", Layout(dim=5)),
        segment_name(["a", "b"], ["1", "2"], "r", Layout(dim=4, storage="scalar")),
        segment_name(["a", "b1"], ["", "2"], "r", layout),
    ]
    assert len({name, *others}) == 8
    assert name == segment_name(["a", "b"], ["1", "2"], "r", layout)


def test_writing_again_gives_the_same_files(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    first = write(tmp_path, layout, A)
    files = files_below(tmp_path)
    assert write(tmp_path, layout, A) == first
    assert files_below(tmp_path) == files
    assert written_segment(tmp_path, list(A), ["key"] * 3, "recipe", layout) == first
    assert written_segment(tmp_path, list(A), ["key"] * 3, "other", layout) is None
    add_segments(tmp_path, [first])
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, A)


def test_a_late_attempt_with_other_bits_does_not_damage_what_was_committed(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    late = SegmentWriter(tmp_path, layout, "recipe")
    for name, tokens in A.items():
        late.add(name, "key", tokens + np.float16(0.01))
    first = write(tmp_path, layout, A)
    add_segments(tmp_path, [first])
    second = late.finish()
    assert (second.name, second.token_file == first.token_file) == (first.name, False)
    add_segments(tmp_path, [second])
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, A)


def test_an_unfinished_segment_leaves_nothing(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    with SegmentWriter(tmp_path, layout, "recipe") as writer:
        writer.add("a", "", ONE)
    assert files_below(tmp_path) == []


def test_nothing_is_seen_before_it_is_committed(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    info = write(tmp_path, layout, A)
    with TokenStore.open(tmp_path) as store:
        assert len(store) == 0
        assert not store.lives(info.row_numbers()).any()


@pytest.mark.parametrize(
    "tokens",
    [
        np.zeros((0, DIM), np.float16),
        np.zeros((2, DIM + 1), np.float16),
        np.zeros(DIM, np.float16),
        np.zeros((1, 1, DIM), np.float16),
        np.full((1, DIM), np.nan, np.float32),
        np.full((1, DIM), np.inf, np.float32),
        np.full((1, DIM), 1e6, np.float32),
    ],
)
def test_unusable_tokens_are_refused_by_the_clips_name(tmp_path: Path, tokens: np.ndarray) -> None:
    layout = create_store(tmp_path, DIM)
    with SegmentWriter(tmp_path, layout, "recipe") as writer:
        writer.add("good", "", ONE)
        with pytest.raises(InputError, match="'bad clip'"):
            writer.add("bad clip", "", tokens)
        info = writer.finish()  # the others are not lost
    add_segments(tmp_path, [info])
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, {"good": ONE})


def test_a_clip_comes_once_and_a_segment_is_not_empty(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    with SegmentWriter(tmp_path, layout, "recipe") as writer:
        with pytest.raises(InputError, match="without clips"):
            writer.finish()
        assert writer.add("a", "", ONE) == 0
        with pytest.raises(InputError, match="'a' was added"):
            writer.add("a", "", ONE)
        assert len(writer) == 1


def test_a_segment_has_room_for_so_many_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cico_platform.index.token_store.writer.MAX_ROWS", 2)
    layout = create_store(tmp_path, DIM)
    with SegmentWriter(tmp_path, layout, "recipe") as writer:
        writer.add("a", "", ONE)
        writer.add("b", "", ONE)
        with pytest.raises(InputError, match="2 clips at most"):
            writer.add("c", "", ONE)


def test_the_array_that_was_added_may_be_reused(tmp_path: Path) -> None:
    layout, buffer = create_store(tmp_path, DIM), np.zeros((2, DIM), np.float16)
    with SegmentWriter(tmp_path, layout, "recipe") as writer:
        for number in range(3):
            buffer[:] = number
            writer.add(str(number), "", buffer)
        add_segments(tmp_path, [writer.finish()])
    with TokenStore.open(tmp_path) as store:
        assert store.tokens(store.find(["0", "1", "2"])).tokens[:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_tokens_are_streamed(tmp_path: Path) -> None:
    layout, tokens = create_store(tmp_path, 256), np.ones((512, 256), np.float16)
    tracemalloc.start()
    with SegmentWriter(tmp_path, layout, "recipe") as writer:
        for number in range(100):
            writer.add(str(number), "", tokens)
        info = writer.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert info.token_file.bytes == 100 * tokens.nbytes
    assert peak < info.token_file.bytes / 3


@pytest.mark.parametrize("after", range(5))
def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    layout = create_store(tmp_path, DIM)
    write_bytes, calls = HashedFile.write, iter(range(100))

    def full(self: HashedFile, content: bytes) -> None:
        if next(calls) == after:
            write_bytes(self, bytes(content)[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        write_bytes(self, content)

    monkeypatch.setattr(HashedFile, "write", full)
    if after == 4:
        write(tmp_path, layout, A)
        return
    with pytest.raises(CicoError, match="free some space"):
        write(tmp_path, layout, A)
    assert [name for name in files_below(tmp_path) if name.endswith((".partial", ".json"))] == []


def test_a_segment_of_another_layout_is_refused(tmp_path: Path) -> None:
    create_store(tmp_path / "one", DIM)
    other = create_store(tmp_path / "other", DIM, "scalar")
    info = write(tmp_path / "other", other, A)
    with pytest.raises(InputError, match="was written with"):
        add_segments(tmp_path / "one", [info])


def test_a_segment_whose_files_are_not_there_is_not_committed(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    for damage in ("missing", "truncated"):
        info = write(tmp_path, layout, A, recipe=damage)
        path = tmp_path / "segments" / info.offset_file.name
        path.unlink() if damage == "missing" else path.write_bytes(b"short")
        with pytest.raises(DamagedFileError, match=path.name):
            add_segments(tmp_path, [info])
    with TokenStore.open(tmp_path) as store:
        assert len(store) == 0


def test_a_commit_may_be_repeated(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    info = write(tmp_path, layout, A)
    first = add_segments(tmp_path, [info, info])
    assert add_segments(tmp_path, [info]) == first
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, A)


def test_segments_whose_numbers_collide_are_refused(tmp_path: Path) -> None:
    layout = create_store(tmp_path, DIM)
    info, other = write(tmp_path, layout, A), write(tmp_path, layout, drawn("xyz"))
    name = info.name[:16] + "0" * 16
    same = other.model_copy(
        update={"name": name, "ranges": (other.ranges[0].model_copy(update={"name": name}),)}
    )
    with pytest.raises(InputError, match="same number by chance"):
        add_segments(tmp_path, [info, same])
    add_segments(tmp_path, [info])
    with pytest.raises(InputError, match="same number by chance"):
        add_segments(tmp_path, [same])


def test_clips_that_died_come_back_with_the_generation_in_the_recipe(tmp_path: Path) -> None:
    (rows,) = store_of(tmp_path, A)
    mark_dead(tmp_path, rows[:1])
    with TokenStore.open(tmp_path) as store:
        again = write(tmp_path, store.layout, A)
        with pytest.raises(InputError, match="a recipe that names the store's generation, 3"):
            add_segments(tmp_path, [again])
        again = write(tmp_path, store.layout, A, recipe=f"recipe {store.generation}")
        add_segments(tmp_path, [again], dead=rows)
        assert store.refresh()
        assert_holds(store, A)


def test_unknown_rows_cannot_die(tmp_path: Path) -> None:
    (rows,) = store_of(tmp_path, A)
    with pytest.raises(InputError, match="has no row"):
        mark_dead(tmp_path, rows + np.uint64(1))
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, A)


def test_a_store_is_made_once(tmp_path: Path) -> None:
    store_of(tmp_path, A)
    create_store(tmp_path, DIM)
    with TokenStore.open(tmp_path) as store:
        assert_holds(store, A)
    for dim, storage in ((DIM + 1, "none"), (DIM, "scalar")):
        with pytest.raises(InputError, match=f"of width {DIM} and storage 'none' already"):
            create_store(tmp_path, dim, storage)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'binary'"):
        create_store(tmp_path / "b", DIM, "binary")  # type: ignore[arg-type]
