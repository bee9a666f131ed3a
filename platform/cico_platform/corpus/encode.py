"""Writing small H.264 videos, whole or not at all."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_video(
    path: Path, frames: NDArray[np.uint8], fps: float, crf: int = 20, preset: str = "veryfast"
) -> None:
    """Encode frames as an MP4 that browsers play (H.264, 4:2:0, index in front).

    Parameters
    ----------
    path
        The file; it appears when it is whole.
    frames
        uint8 `[N, H, W, 3]` RGB with even sides.
    fps
        Frames a second.
    crf
        Quality of x264: 0 is without loss, 23 usual.
    preset
        Of x264: the faster, the larger the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.mp4")
    with av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # With its macroblock tree x264 writes now and then other bytes for the same frames.
        stream.options = {"preset": preset, "crf": str(crf), "g": "50", "x264-params": "mbtree=0"}
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    partial.replace(path)
