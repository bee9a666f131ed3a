"""The sign encoder: Inception-v1 I3D, which turns a window of 16 frames into one sign feature."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cico_model.config import SIGN_ENCODERS, SignEncoderConfig
from cico_model.precision import full_precision

# Output channels of the branches of each Inception block: 1x1x1; reduce, 3x3x3; reduce, 3x3x3; pool, 1x1x1.
BLOCKS: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
Size3 = tuple[int, int, int]


class SignOutput(NamedTuple):
    """What the sign encoder says of each window: class scores [B, C] and the sign feature [B, F], float32."""

    logits: Tensor
    embedding: Tensor


def pad_same(x: Tensor, kernel: Size3, stride: Size3) -> Tensor:
    """Zero-pad [B, C, T, H, W] so that a convolution gives ceil(size / stride), the surplus behind."""
    padding: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (size % s or s), 0)
        padding += [total // 2, total - total // 2]
    return functional.pad(x, padding) if any(padding) else x


def max_pool_same(x: Tensor, kernel: Size3, stride: Size3) -> Tensor:
    """Max pooling of non-negative [B, C, T, H, W], in space first and then over time.

    The same values as `max_pool3d` on the zero-padded input, at a fraction of its time on a CPU.
    """
    x = pad_same(x, kernel, stride)
    batch, channels, frames, height, width = x.shape
    if x.is_contiguous(memory_format=torch.channels_last_3d):
        planes = x.transpose(1, 2).reshape(batch * frames, channels, height, width)
        planes = functional.max_pool2d(planes, kernel[1:], stride[1:])
        x = planes.view(batch, frames, channels, *planes.shape[2:]).transpose(1, 2)
    else:
        planes = x.reshape(batch, channels * frames, height, width)
        planes = functional.max_pool2d(planes, kernel[1:], stride[1:])
        x = planes.view(batch, channels, frames, *planes.shape[2:])
    if kernel[0] == 1:
        return x
    # A frame's pixels in one row: pooling over time is pooling over the rows, in either memory layout.
    rows = functional.max_pool2d(x.flatten(3), (kernel[0], 1), (stride[0], 1))
    return rows.view(*rows.shape[:3], *x.shape[3:])


class Unit(nn.Module):
    """Convolution with "same" padding, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel: Size3 = (size, size, size)
        self.stride: Size3 = (stride, stride, stride)
        # At stride 1 as much is padded before as behind: the convolution does that itself, without a copy.
        self.even = stride == 1
        padding = size // 2 if self.even else 0
        self.conv3d = nn.Conv3d(inputs, outputs, self.kernel, self.stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.kernel[0] > x.shape[2] and x.device.type == "cpu":
            # oneDNN 3.12 leaves parts of the weights' gradient in bfloat16 unset where the input has fewer
            # frames than the kernel: they are whatever was in memory.
            with torch.autocast("cpu", enabled=False):
                return self._normalised(x.float())
        return self._normalised(x)

    def _normalised(self, x: Tensor) -> Tensor:
        padded = x if self.even else pad_same(x, self.kernel, self.stride)
        return functional.relu(self.bn(self.conv3d(padded)), inplace=True)


class Inception(nn.Module):
    """Four branches side by side, joined by channels."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3 = channels
        self.b0 = Unit(inputs, c0)
        self.b1a, self.b1b = Unit(inputs, c1a), Unit(c1a, c1b, 3)
        self.b2a, self.b2b = Unit(inputs, c2a), Unit(c2a, c2b, 3)
        self.b3b = Unit(inputs, c3)
        self.outputs = c0 + c1b + c2b + c3

    def forward(self, x: Tensor) -> Tensor:
        pooled = max_pool_same(x, (3, 3, 3), (1, 1, 1))
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)]
        return torch.cat(branches, dim=1)


class Classifier(nn.Module):
    """The 1x1x1 convolution on the pooled feature that scores the signs."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv3d(x)
        return scores.flatten(1)


class SignEncoder(nn.Module):
    """I3D for 16-frame windows; parameter names are those of published checkpoints.

    Parameters
    ----------
    num_classes
        Signs that the classifier tells apart.
    config
        Size of the network; the published one by default.

    Notes
    -----
    Carreira & Zisserman, "Quo Vadis, Action Recognition?" (CVPR 2017); as used by CiCo (arXiv 2303.12793).

    Examples
    --------
    >>> encoder = SignEncoder(5, SIGN_ENCODERS["tiny"]).eval()
    >>> output = encoder(torch.zeros(2, 3, 16, 64, 64))
    >>> output.logits.shape, output.embedding.shape
    (torch.Size([2, 5]), torch.Size([2, 256]))
    """

    def __init__(self, num_classes: int, config: SignEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or SIGN_ENCODERS["paper"]
        self.num_classes = num_classes
        scale = self.config.channels
        self.Conv3d_1a_7x7 = Unit(3, scale(64), 7, 2)
        self.Conv3d_2b_1x1 = Unit(scale(64), scale(64))
        self.Conv3d_2c_3x3 = Unit(scale(64), scale(192), 3)
        width = scale(192)
        for name, channels in BLOCKS.items():
            block = Inception(width, tuple(scale(c) for c in channels))
            self.add_module(name, block)
            width = block.outputs
        self.dropout = nn.Dropout(0.5)
        self.logits = Classifier(width, num_classes)

    def stem(self, clips: Tensor) -> Tensor:
        """The layers before the first that looks beyond seven frames: [B, 3, 16, S, S] to [B, C, 8, h, w]."""
        x: Tensor = self.Conv3d_2b_1x1(max_pool_same(self.Conv3d_1a_7x7(clips), (1, 3, 3), (1, 2, 2)))
        return x

    def body(self, x: Tensor) -> Tensor:
        """What the stem gives to pooled features [B, F, 1, 1, 1]."""
        x = max_pool_same(self.Conv3d_2c_3x3(x), (1, 3, 3), (1, 2, 2))
        for name in BLOCKS:
            if name == "Mixed_4b":
                x = max_pool_same(x, (3, 3, 3), (2, 2, 2))
            elif name == "Mixed_5b":
                x = max_pool_same(x, (2, 2, 2), (2, 2, 2))
            x = self.get_submodule(name)(x)
        # avg_pool3d has no bfloat16 kernel on the CPU; the mean is the same number, and not rounded to it.
        pooled: Tensor = full_precision(x).mean(dim=(2, 3, 4), keepdim=True)
        return pooled

    def head(self, pooled: Tensor) -> SignOutput:
        """Pooled features to class scores and features, float32."""
        scores = self.logits(self.dropout(pooled).to(self.logits.conv3d.weight.dtype))
        return SignOutput(scores.float(), pooled.flatten(1).float())

    def forward(self, clips: Tensor) -> SignOutput:
        """Score windows.

        Parameters
        ----------
        clips
            float [B, 3, 16, S, S], RGB in [-0.5, 0.5]; S is the size's frame size (224 in the paper).
        """
        return self.head(self.body(self.stem(clips)))
