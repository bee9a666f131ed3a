"""An output holds each clip once, whatever was written twice, cut, or killed on the way."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from drawn_shards import KIND, clips_named, rows_counted, rows_stored, write_batch

from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import CicoError, InputError
from cico_platform.pipelines import compaction
from cico_platform.pipelines.clip_table import ClipTable
from cico_platform.pipelines.ledgers import read_ledgers
from cico_platform.pipelines.output import Output
from cico_platform.pipelines.shards import ShardKind, read_footer, write_shard
from cico_platform.schemas.ledger import LEDGER_SCHEMA
from cico_platform.shard_output import OutputError

N = 12
CLIPS = clips_named(N)


def fill(folder: Path, clips: ClipTable = CLIPS, bad: tuple[int, ...] = (7,)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(clips), 4):
        write_batch(folder, clips, list(range(first, first + 4)), bad)


def wanted(bad: tuple[int, ...] = (7,)) -> list[tuple[str, str, float]]:
    return [
        (f"clip-{number:03d}", encoder, float(number))
        for number in range(N)
        if number not in bad
        for encoder in ("first", "second")
    ]


def test_shards_become_one_part_in_the_clips_order_and_ledgers_the_quarantine(tmp_path: Path) -> None:
    fill(tmp_path / "out")
    output = Output(tmp_path / "out", KIND, CLIPS, here=True)
    assert len(output.waiting()) == 0
    counts = output.close("features", Corpus(tmp_path))
    assert counts.outcomes == {"done": N - 1, "skipped": 0, "quarantined": 1}
    assert counts.shortcomings == {"truncated": 3, "short": 0}
    assert [path.name.split("-")[0] for path in (tmp_path / "out").iterdir()].count("part") == 1
    assert not list((tmp_path / "out").glob("shard-*"))
    assert rows_stored(tmp_path / "out") == wanted()
    (row,) = Corpus(tmp_path).quarantined("features")
    assert (row["video_id"], row["path"], row["reason"]) == ("clip-007", "/clip-007.mp4", "no video")
    ledger = pq.read_table(tmp_path / "out" / "clips.parquet")
    assert ledger.schema.names == LEDGER_SCHEMA.names
    assert ledger["video_id"].to_pylist() == CLIPS.video_ids.to_pylist()


def test_a_resumed_run_waits_for_what_is_in_no_shard(tmp_path: Path) -> None:
    write_batch(tmp_path, CLIPS, [0, 1, 2], bad=(1,))
    write_batch(tmp_path, CLIPS, [5, 6])
    output = Output(tmp_path, KIND, CLIPS, here=True)
    assert output.waiting().tolist() == [3, 4, 7, 8, 9, 10, 11]
    with pytest.raises(CicoError, match="12 clips went in, 4 came out and 1 are in quarantine; run the same"):
        output.close("features")
    assert len(list(tmp_path.glob("shard-*.parquet"))) == 2
    changed = clips_named(N, changed="-since")
    assert len(Output(tmp_path, KIND, changed, here=True).waiting()) == N


def test_a_batch_that_is_written_already_is_not_computed_again(tmp_path: Path) -> None:
    first = write_batch(tmp_path, CLIPS, [0, 1, 2], bad=(1,))
    (shard,) = tmp_path.iterdir()
    before = shard.stat().st_mtime_ns
    again = write_batch(tmp_path, CLIPS, [0, 1, 2])  # a task that Ray runs again; what it finds counts
    assert shard.stat().st_mtime_ns == before
    assert again.to_pylist() == first.to_pylist()
    assert [row["done"] for row in again.to_pylist()] == [True, False, True]


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999], ids=["empty", "half", "end lost"])
@pytest.mark.parametrize("place", ["own", "earlier"])
def test_clips_of_a_damaged_file_are_computed_again(place: str, kept: float, tmp_path: Path) -> None:
    """As a node leaves files behind that loses its power before the disk has all of them."""
    folder, earlier = tmp_path / "out", tmp_path / "earlier"
    fill(folder if place == "own" else earlier)
    damaged = sorted((folder if place == "own" else earlier).glob("shard-*"))[1]
    lost = pq.read_table(damaged)["video_id"].unique().to_pylist()
    damaged.write_bytes(damaged.read_bytes()[: int(kept * damaged.stat().st_size)])
    output = Output(folder, KIND, CLIPS, here=True)
    if place == "earlier":
        output.take_over(earlier)
    waiting = [f"clip-{p:03d}" for p in output.waiting().tolist()]
    assert set(lost) <= set(waiting) <= {*lost, "clip-007"}
    groups = [list(range(first, first + 4)) for first in range(0, N, 4)]
    again = [group for group in groups if set(group) & set(output.waiting().tolist())]
    output.collect(write_batch(folder, CLIPS, group, (7,)) for group in again)
    assert output.close("features").quarantined == 1
    assert rows_stored(folder) == wanted()
    assert not list(folder.glob("shard-*"))


def test_a_file_with_damaged_rows_is_named_and_its_clips_are_computed_again(tmp_path: Path) -> None:
    fill(tmp_path)
    damaged = sorted(tmp_path.glob("shard-*"))[1]
    content = bytearray(damaged.read_bytes())
    content[8:300] = bytes(292)
    damaged.write_bytes(bytes(content))
    with pytest.raises(OutputError, match=rf"'{damaged}' cannot be read .*remove it: its clips are computed"):
        Output(tmp_path, KIND, CLIPS, here=True).close("features")
    damaged.unlink()
    output = Output(tmp_path, KIND, CLIPS, here=True)
    assert len(output.waiting()) == 4
    first = int(output.waiting()[0])
    output.collect([write_batch(tmp_path, CLIPS, list(range(first, first + 4)), (7,))])
    output.close("features")
    assert rows_stored(tmp_path) == wanted()


def test_a_clip_in_two_shards_counts_once_and_a_done_one_before_one_in_quarantine(tmp_path: Path) -> None:
    """After a node is lost, clips come back in other batches, and the node's shards may turn up as well."""
    fill(tmp_path)
    write_batch(tmp_path, CLIPS, [2, 3, 4, 7])
    write_batch(tmp_path, CLIPS, [9], bad=(9,))
    assert set(rows_counted(tmp_path, CLIPS).values()) == {2}
    counts = Output(tmp_path, KIND, CLIPS, here=True).close("features")
    assert counts.outcomes == {"done": N, "skipped": 0, "quarantined": 0}
    assert rows_stored(tmp_path) == sorted(rows_stored(tmp_path))
    assert sorted(rows_stored(tmp_path)) == wanted(bad=())


def killed_at(operation: int, action: Callable[[], object]) -> bool:
    """Run an action in a process that is killed before its n-th change of a folder; whether it was."""
    child = os.fork()
    if not child:
        left = [operation]

        def counted(original: Callable[..., Any]) -> Callable[..., Any]:
            def change(*arguments: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **options)

            return change

        Path.replace = counted(Path.replace)  # type: ignore[method-assign]
        Path.unlink = counted(Path.unlink)  # type: ignore[method-assign]
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_compaction_may_be_killed_at_any_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "USUAL_PART", 4000)  # several parts
    killed = 0
    for operation in range(100):
        folder = tmp_path / str(operation)
        fill(folder)
        write_batch(folder, CLIPS, [3, 4, 5])
        # Threads do not survive a fork, so the footers are read before it.
        output = Output(folder, KIND, CLIPS, here=True)
        if not killed_at(operation, lambda output=output: output.close("features")):
            break
        killed += 1
        assert set(rows_counted(folder, CLIPS).values()) == {0, 2}, "a reader misses a clip or sees it twice"
        again = Output(folder, KIND, CLIPS, here=True)
        write_batch(folder, CLIPS, again.waiting().tolist(), bad=(7,))
        assert again.close("features").outcomes == {"done": N - 1, "skipped": 0, "quarantined": 1}
        assert sorted(rows_stored(folder)) == wanted()
        assert not list(folder.glob(".*")) + list(folder.glob("shard-*"))
    assert killed >= 6


def test_small_parts_are_joined_with_what_is_added_and_large_ones_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "first", clips_named(8), bad=())
    Output(tmp_path / "first", KIND, clips_named(8), here=True).close("features")
    output = Output(tmp_path / "second", KIND, CLIPS, here=True)
    output.take_over(tmp_path / "first")
    assert output.waiting().tolist() == [8, 9, 10, 11]
    write_batch(tmp_path / "second", CLIPS, [8, 9, 10, 11])
    assert output.close("features").outcomes == {"done": 4, "skipped": 8, "quarantined": 0}
    (part,) = (tmp_path / "second").glob("part-*.parquet")
    assert sorted(rows_stored(tmp_path / "second")) == wanted(bad=())
    monkeypatch.setattr(compaction, "SMALLEST_PART", 1)
    more = clips_named(N + 4)
    third = Output(tmp_path / "third", KIND, more, here=True)
    third.take_over(tmp_path / "second")
    write_batch(tmp_path / "third", more, [12, 13, 14, 15])
    third.close("features")
    parts = list((tmp_path / "third").glob("part-*.parquet"))
    assert len(parts) == 2
    assert part.stat().st_ino in {each.stat().st_ino for each in parts}, (
        "a file that is large enough is linked"
    )


def test_only_clips_that_have_not_changed_are_taken_over_and_quarantine_is_tried_again(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "first")
    Output(tmp_path / "first", KIND, CLIPS, here=True).close("features")
    keys = [f"{key}-since" if number < 2 else key for number, key in enumerate(CLIPS.keys.to_pylist())]
    now = ClipTable(CLIPS.video_ids, clips_named(N).keys.__class__.from_pandas(keys), CLIPS.rows)
    output = Output(tmp_path / "second", KIND, now, here=True)
    output.take_over(tmp_path / "first")
    assert output.waiting().tolist() == [0, 1, 7]
    write_batch(tmp_path / "second", now, [0, 1, 7])
    counts = output.close("features")
    assert counts.outcomes == {"done": 3, "skipped": 9, "quarantined": 0}
    assert sorted(rows_stored(tmp_path / "second")) == wanted(bad=())
    other = Output(tmp_path / "third", ShardKind(KIND.schema, "another recipe"), CLIPS, here=True)
    other.take_over(tmp_path / "first")
    assert len(other.waiting()) == N


@pytest.mark.parametrize("gone", [2, 7], ids=["done", "in quarantine"])
def test_of_a_clip_that_has_left_the_corpus_nothing_is_taken_over(gone: int, tmp_path: Path) -> None:
    fill(tmp_path / "earlier")
    Output(tmp_path / "earlier", KIND, CLIPS, here=True).close("features")
    clips = CLIPS.select(np.array([number for number in range(N) if number != gone]))
    output = Output(tmp_path / "out", KIND, clips, here=True)
    output.take_over(tmp_path / "earlier")
    left = [clips.video_ids[p].as_py() for p in output.waiting().tolist()]
    assert left == ([] if gone == 7 else ["clip-007"])
    output.collect(write_batch(tmp_path / "out", clips, [p]) for p in output.waiting().tolist())
    output.close("features")
    assert {name for name, _, _ in rows_stored(tmp_path / "out")} == set(clips.video_ids.to_pylist())
    for ledger in (read_ledgers(tmp_path / "out").rows, pq.read_table(tmp_path / "out" / "clips.parquet")):
        assert sorted(ledger["video_id"].to_pylist()) == clips.video_ids.to_pylist()


def test_what_was_in_quarantine_in_an_earlier_output_may_be_done_now(tmp_path: Path) -> None:
    """Also where the same clips make up a batch again, whose shard the earlier output has joined already."""
    (tmp_path / "first").mkdir()
    for first, bad in ((0, ()), (4, (4, 5, 6, 7)), (8, ())):
        write_batch(tmp_path / "first", CLIPS, list(range(first, first + 4)), bad)
    Output(tmp_path / "first", KIND, CLIPS, here=True).close("features")
    output = Output(tmp_path / "second", KIND, CLIPS, here=True)
    output.take_over(tmp_path / "first")
    assert output.waiting().tolist() == [4, 5, 6, 7]
    output.collect([write_batch(tmp_path / "second", CLIPS, [4, 5, 6, 7], bad=(7,))])
    assert output.close("features").outcomes == {"done": 3, "skipped": 8, "quarantined": 1}
    assert sorted(rows_stored(tmp_path / "second")) == wanted()


def test_an_output_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    """It had no ledgers in footers, but one in `clips.parquet`, and tails of batches when it was cut."""
    old = tmp_path / "old"
    fill(tmp_path / "now")
    Output(tmp_path / "now", KIND, CLIPS, here=True).close("features")
    (part,) = (tmp_path / "now").glob("part-*")
    rows, ledger = pq.read_table(part), pq.read_table(tmp_path / "now" / "clips.parquet")
    old.mkdir()
    plain = rows.replace_schema_metadata(None).drop_columns(["window_times"])
    pq.write_table(plain.slice(0, 8), old / "part-00000.parquet")
    pq.write_table(plain.slice(8), old / "part-00001.parquet")
    pq.write_table(plain.slice(6, 2), old / "tail-00002.parquet")
    about = {"recipe": KIND.recipe, "encoding": KIND.encoding}
    columns = ["video_id", "clip_key", "outcome", "reason"]
    pq.write_table(ledger.select(columns).replace_schema_metadata(about), old / "clips.parquet")
    output = Output(tmp_path / "out", KIND, CLIPS, here=True)
    output.take_over(old)
    assert output.waiting().tolist() == [7]
    write_batch(tmp_path / "out", CLIPS, [7])
    counts = output.close("features")
    assert counts.outcomes == {"done": 1, "skipped": N - 1, "quarantined": 0}
    assert counts.shortcomings == {"truncated": 3, "short": 0}
    assert sorted(rows_stored(tmp_path / "out")) == wanted(bad=())


def test_a_shard_of_a_later_version_is_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cico_platform.schemas.version.SCHEMA_VERSION", 99)
        write_batch(tmp_path, CLIPS, [0])
    with pytest.raises(InputError, match=r"schema version 99.*a later version; install that one"):
        Output(tmp_path, KIND, CLIPS, here=True)


def test_a_write_that_is_cut_leaves_nothing_that_counts(tmp_path: Path) -> None:
    def batches() -> Any:
        raise OSError("the connection was cut")
        yield

    with pytest.raises(OSError, match="cut"):
        write_shard(tmp_path / "shard-1.parquet", KIND, batches(), LEDGER_SCHEMA.empty_table())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".shard-1.parquet.77-abc.partial").write_bytes(b"half")
    write_batch(tmp_path, clips_named(1), [0])
    Output(tmp_path, KIND, clips_named(1), here=True).close("features")
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["clips.parquet", "part"]
    (part,) = tmp_path.glob("part-*")
    footer = read_footer(part)
    assert footer is not None
    assert footer.ledger["video_id"].to_pylist() == ["clip-000"]
