"""Decoding in a process of its own, so that a clip which crashes or hangs the decoder costs only itself."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.limits import ClipError, DecodedClip, DecodeLimits, StillError

if TYPE_CHECKING:  # a process that only asks for frames needs no OpenCV
    from cico_platform.corpus.framing import FramingSettings

MODULE = "cico_platform.corpus.decoder_process"


def decode_isolated(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    crop: list[float] | None = None,
    size: int | None = None,
    longest: int | None = None,
    numbered: bool = False,
    limits: DecodeLimits | None = None,
) -> DecodedClip:
    """`video.decode_clip` in another process, which is kept for the next clip.

    Safe to call from several threads: each call has a process to itself, and as many are kept as were ever
    busy at the same time.

    Raises
    ------
    ClipError
        As `decode_clip`; also if the decoder crashed, took longer than `limits.seconds`, or wanted more
        memory than the limits allow.
    """
    request = {
        "path": os.fspath(path),
        "start": start,
        "end": end,
        "crop": crop,
        "size": size,
        "longest": longest,
        "numbered": numbered,
    }
    return _ask(request, limits or DecodeLimits())


def decode_framed(
    path: str | Path,
    framing: "FramingSettings",
    size: int,
    limits: DecodeLimits | None = None,
    *,
    start: float | None = None,
    end: float | None = None,
) -> DecodedClip:
    """`framed_clip.decode_framed_clip` in another process, as `decode_isolated`."""
    request = {"path": os.fspath(path), "framing": asdict(framing), "size": size}
    request |= {"start": start, "end": end}
    return _ask(request, limits or DecodeLimits())


def _ask(request: dict[str, Any], limits: DecodeLimits) -> DecodedClip:
    decoder = _idle.take()
    try:
        clip = decoder.decode(request, limits)
    except BaseException:
        if decoder.alive:
            decoder.close()
        raise
    _idle.give(decoder)
    if isinstance(clip, str):
        raise StillError if clip == StillError.message else ClipError(clip)
    return clip


def frame_times_isolated(path: str | Path, limits: DecodeLimits | None = None) -> NDArray[np.float64]:
    """`packet_times.packet_times` in another process, as `decode_isolated`."""
    return _ask({"path": os.fspath(path), "times": "frames"}, limits or DecodeLimits()).times


def clock_start_isolated(path: str | Path, limits: DecodeLimits | None = None) -> float | None:
    """`packet_times.clock_start` in another process, as `decode_isolated`."""
    start = float(_ask({"path": os.fspath(path), "times": "start"}, limits or DecodeLimits()).times[0])
    return None if np.isnan(start) else start


class _Decoder:
    """One decoding process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=1 << 20,
            # A decoder must not take the cores of the processes beside it.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def decode(self, request: dict[str, Any], limits: DecodeLimits) -> DecodedClip | str:
        """The clip, or the reason why there is none.

        Raises
        ------
        ClipError
            If the process died over it.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({**request, "limits": asdict(limits)}).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            about = json.loads(line)
            if "error" in about:
                return str(about["error"])
            frames = np.empty(about["shape"], dtype=np.uint8)
            times = np.empty(len(frames), dtype=np.float64)
            _fill(frames, self.process.stdout)
            _fill(times, self.process.stdout)
            numbers = np.empty(len(frames), dtype=np.int64) if about["numbered"] else None
            if numbers is not None:
                _fill(numbers, self.process.stdout)
        except (EOFError, ValueError, OSError) as error:
            raise ClipError(_cause(self.process.wait(), limits)) from error
        return DecodedClip(
            frames,
            about["fps"],
            times,
            truncated=about["truncated"],
            source_size=tuple(about["source_size"]),
            end=about["end"],
            short=about["short"],
            stored_size=tuple(about["stored_size"]),
            crop=about["crop"],
            source_frames=numbers,
        )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def _fill(array: NDArray[Any], stream: IO[bytes]) -> None:
    if stream.readinto(array.data.cast("B")) != array.nbytes:  # type: ignore[attr-defined]  # a BufferedReader
        raise EOFError


def _cause(code: int, limits: DecodeLimits) -> str:
    if code == -signal.SIGALRM:
        return f"decoding took longer than {limits.seconds:g} seconds"
    if code == -signal.SIGKILL:
        return "the decoder was killed, most likely for its memory"
    if code < 0:
        return f"the decoder crashed ({signal.Signals(-code).name})"
    return f"the decoder ended with exit code {code}"


class _Idle:
    """Processes that wait for work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Decoder] = []

    def take(self) -> _Decoder:
        with self._lock:
            while self._waiting:
                decoder = self._waiting.pop()
                if decoder.alive:
                    return decoder
        return _Decoder()

    def give(self, decoder: _Decoder) -> None:
        with self._lock:
            self._waiting.append(decoder)

    def forget(self) -> None:
        """In a forked child: the processes are the parent's."""
        self._lock = threading.Lock()
        self._waiting = []

    def close(self) -> None:
        with self._lock:
            for decoder in self._waiting:
                decoder.close()
            self._waiting.clear()


_idle = _Idle()
atexit.register(_idle.close)
os.register_at_fork(after_in_child=_idle.forget)
