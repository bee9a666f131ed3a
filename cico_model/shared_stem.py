"""The sign encoder's first layers on a whole stretch of video: windows that overlap share their work.

Neighbouring windows see the same frames. Up to the first pooling over time, an output of the network depends
on seven frames only, so that windows which start on consecutive frames have most of these outputs in common.
They differ at their ends alone, where a window's padding takes the place of its neighbours' frames. Here each
output is computed once: 26 temporal taps of the first convolution a window instead of 50. The values are the
same.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cico_model.config import WINDOW_FRAMES
from cico_model.packed_stem import FirstConvolution, pack_pixels
from cico_model.sign_encoder import SignEncoder, SignOutput

# Windows, starting on consecutive frames, that are computed together, and the frames that they see.
SHARED_WINDOWS = 16
SHARED_FRAMES = SHARED_WINDOWS + WINDOW_FRAMES - 1
# The first convolution has 7 taps and stride 2 in each direction, and "same" padding 2 before and 3 behind:
# of a window's 8 outputs over time the first lacks taps in front, the last two lack taps behind.
FULL_FROM, FULL_TO = 1, 6
# First tap, end of the taps, and first frame (counted from the window's) of the outputs at the ends.
FRONT = (2, 7, 0)
BEHIND = ((0, 6, 10), (0, 4, 12))


class SharedStem(FirstConvolution):
    """Frames [1, 3, 31, S, S] to what `SignEncoder.stem` gives for their 16 windows, [16, C, 8, h, w]."""

    def forward(self, frames: Tensor) -> Tensor:
        """The 16 windows' inputs of `SignEncoder.body`."""
        x = pack_pixels(frames)
        shared = SHARED_WINDOWS + 2 * (FULL_TO - FULL_FROM - 1)
        parts = [self._convolve(x, (0, 7, 0), shared)]
        parts += [self._convolve(x, end, SHARED_WINDOWS) for end in (FRONT, *BEHIND)]
        y = self.finish(torch.cat(parts, dim=2))
        full, front, *behind = torch.split(y, [part.shape[2] for part in parts], dim=2)
        inner = [full[:, :, 2 * t : 2 * t + SHARED_WINDOWS] for t in range(FULL_TO - FULL_FROM)]
        return torch.stack([front, *inner, *behind], dim=3)[0].transpose(0, 1)

    def _convolve(self, x: Tensor, end: tuple[int, int, int], count: int) -> Tensor:
        """`count` consecutive outputs of the first convolution, with some of its taps over time."""
        first_tap, stop_tap, first_frame = end
        frames = x[:, :, first_frame : first_frame + count + stop_tap - first_tap - 1]
        return functional.conv3d(frames, self.taps[:, :, first_tap:stop_tap], self.bias)


class Body(nn.Module):
    """The rest of the network, from what the stem gives."""

    def __init__(self, encoder: SignEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> SignOutput:
        """Rows [B, C, 8, h, w] to class scores and features."""
        return self.encoder.head(self.encoder.body(x))
