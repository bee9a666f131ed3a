"""Disks that are full and stores that refuse requests cost time or a clear error, never a clip."""

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from drawn_shards import KIND, clips_named, rows_counted, rows_stored, write_batch
from faulty_store import FaultyProxy, faulty_proxy
from object_store import BUCKET, s3_server
from sample_stores import build_here
from tiny_corpus import film, write_video
from upath import UPath

from cico_platform import shard_output
from cico_platform.corpus.clip_keys import file_version
from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.errors import CicoError
from cico_platform.pipelines.output import Output
from cico_platform.pipelines.stored_features import feature_shards
from cico_platform.shard_output import OutputError, attempt
from cico_platform.steps import STEP_FILE, Summary, fingerprint, run_step
from cico_platform.storage import Place, file_sizes, files_under, fresh, matching
from cico_platform.training.checkpoints import CheckpointStore
from cico_platform.training.data.cuts import Cut, FrameSettings
from cico_platform.training.data.sample_store import SampleStore

N = 40
CLIPS = clips_named(N)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_output, "SECONDS_BETWEEN_ATTEMPTS", 0.01)


def batches() -> Iterator[list[int]]:
    for first in range(0, N, 4):
        yield list(range(first, first + 4))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for a few shards."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_an_error_that_says_so_and_the_same_command_goes_on(small_disk: Path) -> None:
    output = Output(small_disk, KIND, CLIPS, here=True)
    with pytest.raises(
        OutputError, match=r"No space left.*what is written stays, and the same command goes on"
    ):
        output.collect(write_batch(small_disk, CLIPS, batch) for batch in batches())
    written = set(range(N)) - set(Output(small_disk, KIND, CLIPS, here=True).waiting().tolist())
    assert 0 < len(written) < N
    assert not list(small_disk.glob(".*")), "what was half-written takes no room"
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    again = Output(small_disk, KIND, CLIPS, here=True)
    again.collect(write_batch(small_disk, CLIPS, [p]) for p in again.waiting().tolist())
    assert again.close("features").outcomes == {"done": N, "skipped": 0, "quarantined": 0}
    assert len(rows_stored(small_disk)) == 2 * N


def test_a_disk_that_is_too_small_to_join_shards_loses_none(small_disk: Path) -> None:
    output = Output(small_disk, KIND, CLIPS, here=True)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    output.collect(write_batch(small_disk, CLIPS, batch) for batch in batches())
    held = sum(path.stat().st_blocks * 512 for path in small_disk.iterdir())
    subprocess.run(["mount", "-o", f"remount,size={held + 4096}", str(small_disk)], check=True)
    with pytest.raises(OutputError, match=r"shards could not be joined.*No space left.*nothing is lost"):
        output.close("features")
    assert set(rows_counted(small_disk, CLIPS).values()) == {2}
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    Output(small_disk, KIND, CLIPS, here=True).close("features")
    assert len(rows_stored(small_disk)) == 2 * N


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[FaultyProxy, dict[str, str]]]:
    """A store behind a proxy, and the environment by which clients find the proxy."""
    with s3_server() as found, faulty_proxy(found["AWS_ENDPOINT_URL"], every=0) as proxy:
        yield proxy, {**found, "AWS_ENDPOINT_URL": proxy.url}


@pytest.fixture
def remote(store: tuple[FaultyProxy, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    proxy, environment = store
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    UPath(f"s3://{BUCKET}/x").fs.clear_instance_cache()
    yield UPath(f"s3://{BUCKET}/features")
    proxy.every = 0
    UPath(f"s3://{BUCKET}/x").fs.clear_instance_cache()


def test_a_store_that_refuses_every_tenth_request_loses_nothing(
    remote: Place, store: tuple[FaultyProxy, dict[str, str]]
) -> None:
    proxy, _ = store
    proxy.every = 10
    Output(remote, KIND, CLIPS, here=True).collect(write_batch(remote, CLIPS, batch) for batch in batches())
    write_batch(remote, CLIPS, [3, 4, 5])  # and a shard of a task that ran twice
    resumed = Output(remote, KIND, CLIPS, here=True)
    assert len(resumed.waiting()) == 0
    assert resumed.close("features").outcomes == {"done": N, "skipped": 0, "quarantined": 0}
    assert proxy.refused >= 3
    proxy.every = 0
    assert len(rows_stored(remote)) == len(set(rows_stored(remote))) == 2 * N
    assert sorted(path.name.split("-")[0] for path in remote.iterdir()) == ["clips.parquet", "part"]


@pytest.mark.parametrize("every", [5, 7, 10])
def test_a_step_is_moved_whole_whatever_a_store_refuses(
    every: int, remote: Place, store: tuple[FaultyProxy, dict[str, str]]
) -> None:
    """Objects are copied one by one, and the old ones removed."""
    proxy, out = store[0], remote / f"step-{every}"

    def writing(text: str) -> Callable[[Place], Summary]:
        def body(folder: Place) -> Summary:
            for number in range(6):
                attempt(folder, partial((folder / f"part-{number}.txt").write_text, text))
            return Summary(done=6)

        return body

    for text in ("first", "second"):
        proxy.every = every
        assert run_step(out, "step", text, writing(text)).done == 6
        assert fingerprint(out) == text
        assert run_step(out, "step", text, writing(text)).skipped == 6
        proxy.every = 0
        found = {path.name: path.read_text() for path in fresh(out).iterdir() if path.name != STEP_FILE}
        assert found == {f"part-{number}.txt": text for number in range(6)}
    assert not matching(fresh(out.parent), ".*")


def test_what_a_store_does_not_list_is_not_taken_for_nothing(
    remote: Place, store: tuple[FaultyProxy, dict[str, str]]
) -> None:
    folder = remote / "listed [v2]"
    (folder / "part-0.parquet").write_bytes(b"here")
    assert [path.name for path in files_under(fresh(folder))] == ["part-0.parquet"]
    checkpoints = CheckpointStore(remote / "checkpoints", "key")
    checkpoints.save(7, {"done": False})
    store[0].every = 1
    for listing in (partial(matching, pattern="part-*"), files_under, file_sizes):
        with pytest.raises(PermissionError):
            listing(fresh(folder))
    with pytest.raises(OutputError):
        checkpoints.last()
    store[0].every = 2
    assert (len(feature_shards(fresh(folder))), checkpoints.steps()) == (1, [7])


def test_a_training_goes_on_from_its_last_checkpoint_whatever_a_store_refuses(
    remote: Place, store: tuple[FaultyProxy, dict[str, str]]
) -> None:
    """A checkpoint that the store refuses once is not damaged: without it, days would be trained again."""
    checkpoints = CheckpointStore(remote / "run", "key", keep=2)
    for every in (4, 7, 10):
        store[0].every = every
        for step in range(10 * every, 10 * every + 5):
            checkpoints.save(step, {"done": False, "step": step})
            assert checkpoints.last() == (step, {"done": False, "step": step}, [])
        assert len(checkpoints.steps()) == 2
    store[0].every = 1
    with pytest.raises(OutputError):
        checkpoints.load(104)


def test_training_samples_are_stored_and_read_whatever_a_store_refuses(
    remote: Place, store: tuple[FaultyProxy, dict[str, str]], tmp_path: Path
) -> None:
    proxy, names = store[0], ["red", "green", "blue"]
    for number, name in enumerate(names):
        write_video(tmp_path / f"{name}.mp4", film([name], number))
    write_manifest(tmp_path, [Clip(n, n, "train", f"{n}.mp4", "", "", label=n) for n in names])
    cuts, settings = [Cut(name, name) for name in names], FrameSettings(size=16)
    for every in (10, 4):
        proxy.every, folder = every, remote / f"samples-{every}"
        assert build_here(tmp_path, cuts, folder, settings).samples == 3
        for most in (None, 0):
            opened = SampleStore(str(folder), cache_bytes=most)
            for _ in range(3):
                assert sorted(opened.label(n) for n in range(3) if opened.read(n).any()) == sorted(names)
            opened.close()
    proxy.every = 1
    with pytest.raises(CicoError, match="is no whole sample store"):
        SampleStore(str(folder))


def test_a_store_that_refuses_once_does_not_change_the_key_of_a_clip(
    remote: Place, store: tuple[FaultyProxy, dict[str, str]]
) -> None:
    (remote / "video.mp4").write_bytes(b"video")
    whole, missing = (file_version(str(remote / name)) for name in ("video.mp4", "missing.mp4"))
    assert (missing, "video.mp4" in whole) == ("FileNotFoundError", True)
    store[0].every = 2
    assert {file_version(str(remote / "video.mp4")) for _ in range(4)} == {whole}
    store[0].every = 1
    assert file_version(str(remote / "video.mp4")) == "PermissionError"


def test_a_store_that_refuses_everything_is_an_error_that_says_so(
    remote: Place, store: tuple[FaultyProxy, dict[str, str]]
) -> None:
    folder, output = remote / "refused", Output(remote / "refused", KIND, CLIPS, here=True)
    store[0].every = 1
    with pytest.raises(
        OutputError, match=r"could not be written to 's3:.*refused': .*the same command goes on"
    ):
        output.collect(write_batch(folder, CLIPS, batch) for batch in batches())


def test_an_error_of_a_program_is_not_tried_again(tmp_path: Path) -> None:
    calls = []

    def broken() -> None:
        calls.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt(tmp_path, broken)
    assert len(calls) == 1
