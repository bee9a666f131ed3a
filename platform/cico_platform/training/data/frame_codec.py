"""Frames as JPEG: encoding when a sample store is built, decoding in the threads of a training."""

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
# At 256 pixels, 24 frames of real and of drawn sign videos take 0.18 to 0.30 MB (at most 0.38), with a PSNR
# of 44 to 46 dB; without chroma subsampling, as hands are small: 4:2:0 costs 1 to 4 dB and saves a quarter.
QUALITY = 90
_SAMPLING = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def encode_frame(frame: Frames, quality: int = QUALITY) -> bytes:
    """Encode one RGB frame, uint8 [H, W, 3], as JPEG (4:4:4)."""
    bgr = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, *_SAMPLING])
    return bytes(encoded)


def decode_frame(encoded: bytes | memoryview, out: Frames) -> bool:
    """Decode one JPEG into `out`, uint8 [H, W, 3] RGB; returns False if the bytes are not such a frame.

    OpenCV releases the interpreter's lock while it decodes, so that threads decode side by side.
    """
    frame = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB) if len(encoded) else None
    if frame is None or frame.shape != out.shape:
        return False
    out[:] = frame
    return True
