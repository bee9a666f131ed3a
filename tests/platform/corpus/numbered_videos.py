"""Videos whose frames carry their number, in every container and codec that PyAV writes here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS, WIDTH, HEIGHT = 12, 192, 96
RATE = 25
Frames = NDArray[np.uint8]


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> Frames:
    """A frame uint8 [height, width, 3] with its number as 12 bits along the top edge, lowest bit left."""
    frame = np.full((height, width, 3), 70, np.uint8)
    cell = width // BITS
    for bit in range(BITS):
        frame[: height // 6, bit * cell : (bit + 1) * cell] = 235 if number >> bit & 1 else 16
    return frame


def numbers_of(frames: Frames) -> list[int]:
    """The number that each frame carries."""
    height, width = frames.shape[1:3]
    columns = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    rows = frames[:, height // 12, columns].mean(axis=2) > 125
    return [sum(1 << bit for bit in range(BITS) if row[bit]) for row in rows]


@dataclass(frozen=True)
class Kind:
    """How a video is written: container, codec, most B-frames, frames from one key frame to the next.

    `times` are the frames' times in milliseconds (by default 25 frames a second). `sound` begins that many
    seconds from 0 on. `restamped` says that the container does not keep timestamps: a frame's time is its
    number over the rate.
    """

    suffix: str
    codec: str = "libx264"
    reordered: int = 0
    keys: int = 25
    times: Sequence[int] | None = None
    sound: bool = False
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)
    restamped: bool = False
    patch: Callable[[Path], None] | None = None

    @property
    def name(self) -> str:
        """What the kind is called in the names of tests and files."""
        extra = "-vfr" if self.times and len(set(np.diff(self.times))) > 1 else ""
        extra += f"-from{self.times[0]}" if self.times and self.times[0] else ""
        extra += "-sound" if self.sound else ""
        extra += "".join(f"-{value}" for value in [*self.muxer.values()])
        return f"{self.suffix}-{self.codec}-b{self.reordered}-g{self.keys}{extra}".replace("+", "")


def write(path: Path, kind: Kind, count: int) -> Path:
    """Write a video of `count` numbered frames."""
    tick = Fraction(1, 1000) if kind.times else Fraction(1, RATE)
    with av.open(str(path), "w", format=kind.format, options=kind.muxer) as container:
        stream = container.add_stream(kind.codec, rate=RATE)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = PIXELS.get(kind.codec, "yuv420p")
        context = stream.codec_context
        context.time_base, context.gop_size, context.max_b_frames = tick, kind.keys, kind.reordered
        stream.options = {**_options(kind), **kind.options}
        if kind.sound:
            _write_sound(container, count / RATE)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = (kind.times[number] if kind.times else number), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if kind.patch:
        kind.patch(path)
    return path


PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8", "dvvideo": "yuv420p", "ffv1": "yuv420p", "prores_ks": "yuv422p10le"}


def _options(kind: Kind) -> dict[str, str]:
    if kind.codec == "libx264":
        return {
            "preset": "veryfast",
            "x264-params": f"keyint={kind.keys}:min-keyint={kind.keys}:scenecut=0:open-gop=1"
            f":bframes={kind.reordered}:b-adapt=0:threads=1",
        }
    if kind.codec == "libx265":
        params = f"keyint={kind.keys}:min-keyint={kind.keys}:bframes={kind.reordered}:log-level=none:pools=1"
        return {"preset": "ultrafast", "x265-params": params}
    if kind.codec in ("libvpx", "libvpx-vp9"):
        return {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    if kind.codec in ("libaom-av1", "libsvtav1"):
        return {"preset": "12"}
    return {"bf": str(kind.reordered)}


def _write_sound(container: av.container.OutputContainer, seconds: float) -> None:
    stream = container.add_stream("aac" if "mp2" not in container.format.name else "mp2", rate=48000)
    stream.layout = "mono"
    samples = np.zeros((1, int(48000 * seconds)), np.float32)
    sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    sound.sample_rate = 48000
    container.mux(stream.encode(sound))
    container.mux(stream.encode())
