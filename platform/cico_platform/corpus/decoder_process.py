"""The process that decodes for another: a crash, a hang or a hunger for memory ends it and nothing else.

Started by `isolation.py` as `python -m cico_platform.corpus.decoder_process`. Each request is one line of
JSON on standard input. Each answer is one line of JSON on standard output, and, if it gives a `shape`, the
frames (uint8), their times (float64) and, if it says `numbered`, their numbers (int64) after it.
"""

import json
import os
import resource
import signal
import sys
from typing import Any, BinaryIO

import numpy as np

from cico_platform.corpus.framed_clip import decode_framed_clip
from cico_platform.corpus.framing import FramingSettings
from cico_platform.corpus.limits import ClipError, DecodedClip, DecodeLimits
from cico_platform.corpus.packet_times import clock_start, packet_times
from cico_platform.corpus.video import decode_clip

# What the process may map beside the frames: libraries, and a codec's own buffers.
MEMORY_BESIDE_FRAMES = 3 << 30
GRACE_SECONDS = 5
# What an answer says of a clip, beside its frames and their times.
TOLD = ("fps", "truncated", "source_size", "end", "short", "stored_size", "crop")


def main() -> None:
    """Answer requests until standard input ends."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := requests.readline():
        request = json.loads(line)
        _answer(request, DecodeLimits(**request.pop("limits")), answers)
        answers.flush()


def _answer(request: dict[str, Any], limits: DecodeLimits, answers: BinaryIO) -> None:
    memory = 2 * limits.bytes + MEMORY_BESIDE_FRAMES
    resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
    signal.alarm(int(limits.seconds) + GRACE_SECONDS)  # the kernel ends this process, whatever holds it up
    try:
        clip = _decode(request, limits)
    except ClipError as error:
        _write(answers, {"error": str(error)})
    except Exception as error:  # one clip must not end the run, whatever is wrong with it
        first = (str(error).splitlines() or [""])[0]
        _write(answers, {"error": f"{type(error).__name__}: {first}"})
    else:
        _write_clip(answers, clip)
    finally:
        signal.alarm(0)


def _decode(request: dict[str, Any], limits: DecodeLimits) -> DecodedClip:
    asked = request.pop("times", None)
    if asked is not None:
        path = str(request["path"])
        times = packet_times(path, limits) if asked == "frames" else np.array([clock_start(path, limits)])
        return DecodedClip(np.zeros((len(times), 1, 1, 1), np.uint8), 1.0, times)
    framing = request.pop("framing", None)
    if framing is None:
        return decode_clip(limits=limits, **request)
    return decode_framed_clip(limits=limits, settings=FramingSettings(**framing), **request)


def _write_clip(answers: BinaryIO, clip: DecodedClip) -> None:
    about = {name: getattr(clip, name) for name in TOLD}
    numbered = clip.source_frames is not None
    _write(answers, {**about, "numbered": numbered, "shape": clip.frames.shape})
    answers.write(np.ascontiguousarray(clip.frames).data)
    answers.write(np.ascontiguousarray(clip.times, dtype=np.float64).data)
    if clip.source_frames is not None:
        answers.write(np.ascontiguousarray(clip.source_frames, dtype=np.int64).data)


def _write(answers: BinaryIO, header: dict[str, object]) -> None:
    answers.write(json.dumps(header).encode() + b"\n")


if __name__ == "__main__":
    main()
