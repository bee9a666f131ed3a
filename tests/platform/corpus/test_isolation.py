"""Decoding in a process of its own: the same frames; a crash, a hang and a hostile size cost one clip."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from sample_videos import signing, write, write_sound

from cico_platform.corpus.isolation import MODULE, decode_isolated
from cico_platform.corpus.limits import ClipError, DecodeLimits
from cico_platform.corpus.video import decode_clip


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("videos") / "sign.mp4", signing())


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A web server that takes requests and never answers: what opens its URL hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/sign.mp4"
        for connection in held:
            connection.close()


def decoders() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if MODULE in " ".join(p.cmdline())]


def test_the_frames_are_those_of_decoding_here(video: Path) -> None:
    options = {"start": 0.2, "end": 1.2, "crop": [0.0, 0.1, 0.5, 1.0]}
    for size in (32, None):
        here = decode_clip(video, size=size, **options)  # type: ignore[arg-type]
        there = decode_isolated(video, size=size, **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(there.frames, here.frames)
        np.testing.assert_array_equal(there.times, here.times)
        assert (there.fps, there.truncated, there.source_size) == (here.fps, here.truncated, here.source_size)


def test_a_process_is_kept_for_the_next_clip(video: Path) -> None:
    decode_isolated(video, size=8)
    before = {p.pid for p in decoders()}
    for _ in range(3):
        decode_isolated(video, size=8)
    assert {p.pid for p in decoders()} == before


def test_what_cannot_be_decoded_says_why_and_keeps_the_process(tmp_path: Path, video: Path) -> None:
    decode_isolated(video, size=8)
    before = {p.pid for p in decoders()}
    with pytest.raises(ClipError, match="no video stream"):
        decode_isolated(write_sound(tmp_path / "sound.mp4"))
    with pytest.raises(ClipError, match="does not exist"):
        decode_isolated(tmp_path / "missing.mp4")
    with pytest.raises(ClipError, match="exceed the limit of 100 pixels"):
        decode_isolated(video, limits=DecodeLimits(pixels=100))
    assert {p.pid for p in decoders()} == before


def test_a_hang_ends_with_the_time_limit(silent_server: str, video: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ClipError, match="longer than 0 seconds"):
        decode_isolated(silent_server, limits=DecodeLimits(seconds=0))
    assert time.monotonic() - began < 60
    assert len(decode_isolated(video, size=8).frames) == 40


def test_a_crash_costs_its_clip_alone(silent_server: str, video: Path) -> None:
    before = {p.pid for p in decoders()}
    with ThreadPoolExecutor(1) as pool:
        decode_isolated(video, size=8)
        hanging = pool.submit(decode_isolated, silent_server)
        deadline = time.monotonic() + 30
        while not (busy := [p for p in decoders() if p.net_connections()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(busy[0].pid, signal.SIGSEGV)
        with pytest.raises(ClipError, match=r"the decoder crashed \(SIGSEGV\)"):
            hanging.result(timeout=30)
    assert len(decode_isolated(video, size=8).frames) == 40
    assert len({p.pid for p in decoders()} - before) <= 1


def test_threads_decode_side_by_side(video: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda size: decode_isolated(video, size=size).frames.shape, range(8, 40)))
    assert found == [(40, size, size, 3) for size in range(8, 40)]


PARENT = """
import os, signal, sys
import psutil
from cico_platform.corpus.isolation import decode_isolated
decode_isolated(sys.argv[1], size=8)
print(psutil.Process().children()[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_decoder_ends_with_the_process_that_started_it(video: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", PARENT, video], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    orphan = int(killed.stdout)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(orphan) and psutil.Process(orphan).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the decoder outlived its parent"
        time.sleep(0.1)
