"""Small real videos for the tests of the corpus room."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def signing(
    count: int = 40, size: tuple[int, int] = (192, 108), move: tuple[int, int] = (10, 30), seed: int = 0
) -> NDArray[np.uint8]:
    """A still scene in which a bright square moves in the left half from frame `move[0]` to `move[1]`."""
    rng = np.random.default_rng(seed)
    width, height = size
    scene = np.full((height, width, 3), 70, np.uint8)
    scene[:, width // 2 :] = 90
    frames = np.repeat(scene[None], count, 0).astype(np.int16)
    frames += rng.integers(-2, 3, frames.shape)
    for index in range(count):
        at = min(max(index, move[0]), move[1]) - move[0]
        x, y = 20 + at * 2, height - 20 - at * 2
        frames[index, y : y + 12, x : x + 12] = (220, 200, 180)
    return frames.clip(0, 255).astype(np.uint8)


def write(
    path: Path, frames: NDArray[np.uint8], fps: int = 25, times: list[int] | None = None, gop: int = 12
) -> Path:
    """Encode an MP4; `times` are the frames' times in thousandths of a second where the rate varies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000 if times else fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        stream.options = {"crf": "12", "preset": "veryfast", "bf": "0"}
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            if times:
                picture.pts = times[index]
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """An MP4 that holds sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return path


def turn_header(path: Path, degrees: int) -> Path:
    """Write a rotation into the track header of an MP4, as telephones do."""
    return set_matrix(path, {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1)}[degrees])


def set_matrix(path: Path, linear: tuple[int, int, int, int]) -> Path:
    """Write the linear part of a display matrix into the track header of an MP4."""
    a, b, c, d = (value << 16 for value in linear)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    matrix = (a, b, 0, c, d, 0, 0, 0, 0x40000000)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(data))
    return path
