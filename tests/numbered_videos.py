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

    `times` are the frames' timestamps in milliseconds (by default 25 frames a second). `sound` begins at 0.
    `counted` says that the container keeps no timestamps: a frame's time is its number over the rate.
    `patch` changes the file that was written.
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
    counted: bool = False
    patch: Callable[[Path], None] | None = None

    @property
    def precision(self) -> float:
        """Seconds to which the container keeps times."""
        return 0.0101 if self.suffix == "gif" else 0.0011

    def shown_times(self, count: int) -> NDArray[np.float64]:
        """When each frame is shown: a player's clock shows 0 where the file, sound or picture, begins."""
        if self.times is None or self.counted:
            return np.arange(count) / RATE
        times = np.asarray(self.times[self.hidden : count]) / 1000
        return times if self.sound or self.hidden else times - times[0]

    @property
    def hidden(self) -> int:
        """Frames that the file holds but does not show: an MP4 begins at 0."""
        return sum(time < 0 for time in self.times or ()) if self.suffix in ("mp4", "mov") else 0

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


def empty_edit(path: Path) -> None:
    """Put an empty edit of two seconds before the picture of an MP4 without sound.

    A clock that starts where the container does shows the same as without it.
    """
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    count = int.from_bytes(data[at + 12 : at + 16], "big")
    scale = int.from_bytes(data[data.index(b"mvhd") + 16 : data.index(b"mvhd") + 20], "big")
    edit = (
        (2 * scale).to_bytes(4, "big") + (-1).to_bytes(4, "big", signed=True) + (1 << 16).to_bytes(4, "big")
    )
    new = data[at : at + 12] + (count + 1).to_bytes(4, "big") + edit + data[at + 16 : at + size]
    data[at : at + size] = new
    for name in (b"elst", b"edts", b"trak", b"moov"):
        place = data.rindex(name, 0, at + 8) - 4
        data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + 12).to_bytes(4, "big")
    path.write_bytes(bytes(data))


PIXELS = {
    "mjpeg": "yuvj420p",
    "gif": "rgb8",
    "dvvideo": "yuv420p",
    "ffv1": "yuv420p",
    "prores_ks": "yuv422p10le",
}


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
    codec = "mp2" if container.format.name == "vob" else "aac"
    stream = container.add_stream(codec, rate=48000)
    stream.layout = "mono"
    layout = ("s16", np.int16) if stream.codec_context.name == "mp2" else ("fltp", np.float32)
    samples = np.zeros((1, int(48000 * seconds)), layout[1])
    sound = av.AudioFrame.from_ndarray(samples, format=layout[0], layout="mono")
    sound.sample_rate = 48000
    container.mux(stream.encode(sound))
    container.mux(stream.encode())
