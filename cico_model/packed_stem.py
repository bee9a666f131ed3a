"""The first convolution on packed pixels: every 2 x 2 pixels become channels.

Its 7 x 7 taps of stride 2 on 3 channels are 4 x 4 taps of stride 1 on 12, the last row and column of them
zero: the same sums, which a GPU's tensor cores multiply far better than they do three channels.
"""

from torch import Tensor, nn
from torch.nn import functional

from cico_model.sign_encoder import SignEncoder, SignOutput, max_pool_same

# "Same" padding of 7 taps at stride 2 is 2 before and 3 behind; in packed pixels 1 and 2.
PACKED_PADDING = (1, 2, 1, 2)


def pack_pixels(frames: Tensor) -> Tensor:
    """Frames [B, C, T, H, W], height and width even, to [B, 4 C, T, H / 2 + 3, W / 2 + 3], padded."""
    batch, channels, count, height, width = frames.shape
    x = frames.view(batch, channels, count, height // 2, 2, width // 2, 2).permute(0, 1, 4, 6, 2, 3, 5)
    x = x.reshape(batch, 4 * channels, count, height // 2, width // 2)
    return functional.pad(x, PACKED_PADDING)


def pack_taps(weight: Tensor) -> Tensor:
    """Weights [O, C, D, 7, 7] of the first convolution as [O, 4 C, D, 4, 4]."""
    taps = functional.pad(weight.detach(), (0, 1, 0, 1))
    outputs, channels, depth = taps.shape[:3]
    taps = taps.view(outputs, channels, depth, 4, 2, 4, 2).permute(0, 1, 4, 6, 2, 3, 5)
    return taps.reshape(outputs, 4 * channels, depth, 4, 4).contiguous()


class FirstConvolution(nn.Module):
    """The packed weights of the first convolution, and the layers between it and `SignEncoder.body`.

    Parameters
    ----------
    encoder
        In evaluation mode, its batch normalisation folded into the convolutions.
    """

    def __init__(self, encoder: SignEncoder) -> None:
        super().__init__()
        first = encoder.Conv3d_1a_7x7.conv3d
        assert first.bias is not None, "batch normalisation must be folded"
        self.taps = nn.Parameter(pack_taps(first.weight), False)
        self.bias = nn.Parameter(first.bias.detach().clone(), False)
        self.after = encoder.Conv3d_2b_1x1

    def finish(self, x: Tensor) -> Tensor:
        """Sums of the first convolution [B, C, T, H, W] to what `SignEncoder.stem` gives of them."""
        y: Tensor = self.after(max_pool_same(functional.relu(x), (1, 3, 3), (1, 2, 2)))
        return y


class PackedStem(FirstConvolution):
    """Windows [B, 3, 16, S, S] to what `SignEncoder.stem` gives, S being even."""

    def forward(self, clips: Tensor) -> Tensor:
        """The windows' inputs of `SignEncoder.body`."""
        x = functional.pad(pack_pixels(clips), (0, 0, 0, 0, 2, 3))
        return self.finish(functional.conv3d(x, self.taps, self.bias, stride=(2, 1, 1)))


class Whole(nn.Module):
    """The network with a `PackedStem`: windows [B, 3, 16, S, S] to class scores and features."""

    def __init__(self, encoder: SignEncoder) -> None:
        super().__init__()
        self.stem, self.encoder = PackedStem(encoder), encoder

    def forward(self, clips: Tensor) -> SignOutput:
        """What the encoder gives."""
        return self.encoder.head(self.encoder.body(self.stem(clips)))
