"""The times of a video's frames as its packets tell them; nothing is decoded."""

import time

import av
import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.limits import ClipError, DecodeLimits
from cico_platform.corpus.video import _fps, _open, _reason


def packet_times(path: str, limits: DecodeLimits) -> NDArray[np.float64]:
    """The times of a video's frames, in the order in which they are shown, as `decode_clip` gives them.

    Returns
    -------
    NDArray
        float64 [N], seconds.

    Raises
    ------
    ClipError
        If the file cannot be read, has no frame, or a limit is exceeded.
    """
    began = time.monotonic()
    with _open(path, limits) as container:
        stream = container.streams.video[0]
        first, found = stream.start_time or 0, list[float | None]()
        try:
            for packet in container.demux(stream):
                if time.monotonic() - began > limits.seconds:
                    raise ClipError(f"reading took longer than {limits.seconds:g} seconds")
                if packet.size and not packet.is_discard:
                    known = packet.pts is not None and packet.time_base is not None
                    found.append(float((packet.pts - first) * packet.time_base) if known else None)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            if not found:
                raise ClipError(_reason(error)) from error
        if not found:
            raise ClipError("no frame could be read")
        if None in found:
            return np.arange(len(found)) / _fps(stream)
        return np.sort(np.asarray(found, dtype=np.float64))
