"""The sign encoder written the obvious way, as published: what `cico bench sign-encoder` compares with.

Eager float32, `max_pool3d` on explicitly padded input, batch normalisation as a layer of its own, every
window of a video copied out of it.
"""

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH = 4
WINDOW = 16


def same_padding(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    pads = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
        pads.append((total // 2, total - total // 2))
    (front, back), (top, bottom), (left, right) = pads
    return functional.pad(x, (left, right, top, bottom, front, back))


class Unit3D(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, self.kernel, self.stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=0.001, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        x = same_padding(x, self.kernel, self.stride)
        return functional.relu(self.bn(self.conv3d(x)), inplace=True)


class MaxPool3dSame(nn.Module):
    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool3d(same_padding(x, self.kernel, self.stride), self.kernel, self.stride)


class InceptionModule(nn.Module):
    def __init__(self, inputs: int, c: list[int]) -> None:
        super().__init__()
        self.b0 = Unit3D(inputs, c[0])
        self.b1a, self.b1b = Unit3D(inputs, c[1]), Unit3D(c[1], c[2], 3)
        self.b2a, self.b2b = Unit3D(inputs, c[3]), Unit3D(c[3], c[4], 3)
        self.b3a, self.b3b = MaxPool3dSame((3, 3, 3), (1, 1, 1)), Unit3D(inputs, c[5])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1
        )


class PlainI3D(nn.Module):
    """Inception-v1 I3D with the published parameter names; `width` multiplies every layer's channels."""

    def __init__(self, num_classes: int, width: float = 1.0, frame_size: int = 224) -> None:
        super().__init__()

        def c(*channels: int) -> list[int]:
            return [max(1, round(n * width)) for n in channels]

        def out(channels: list[int]) -> int:
            return channels[0] + channels[2] + channels[4] + channels[5]

        first, second = c(64, 192)
        self.Conv3d_1a_7x7 = Unit3D(3, first, 7, 2)
        self.MaxPool3d_2a_3x3 = MaxPool3dSame((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit3D(first, first)
        self.Conv3d_2c_3x3 = Unit3D(first, second, 3)
        self.MaxPool3d_3a_3x3 = MaxPool3dSame((1, 3, 3), (1, 2, 2))
        m3b, m3c = c(64, 96, 128, 16, 32, 32), c(128, 128, 192, 32, 96, 64)
        self.Mixed_3b = InceptionModule(second, m3b)
        self.Mixed_3c = InceptionModule(out(m3b), m3c)
        self.MaxPool3d_4a_3x3 = MaxPool3dSame((3, 3, 3), (2, 2, 2))
        m4b, m4c = c(192, 96, 208, 16, 48, 64), c(160, 112, 224, 24, 64, 64)
        m4d, m4e = c(128, 128, 256, 24, 64, 64), c(112, 144, 288, 32, 64, 64)
        m4f = c(256, 160, 320, 32, 128, 128)
        self.Mixed_4b = InceptionModule(out(m3c), m4b)
        self.Mixed_4c = InceptionModule(out(m4b), m4c)
        self.Mixed_4d = InceptionModule(out(m4c), m4d)
        self.Mixed_4e = InceptionModule(out(m4d), m4e)
        self.Mixed_4f = InceptionModule(out(m4e), m4f)
        self.MaxPool3d_5a_2x2 = MaxPool3dSame((2, 2, 2), (2, 2, 2))
        m5b, m5c = c(256, 160, 320, 32, 128, 128), c(384, 192, 384, 48, 128, 128)
        self.Mixed_5b = InceptionModule(out(m4f), m5b)
        self.Mixed_5c = InceptionModule(out(m5b), m5c)
        self.dropout = nn.Dropout(0.5)
        self.logits = nn.ModuleDict({"conv3d": nn.Conv3d(out(m5c), num_classes, 1)})
        self.pool = (2, -(-frame_size // 32), -(-frame_size // 32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.MaxPool3d_2a_3x3(self.Conv3d_1a_7x7(x))
        x = self.MaxPool3d_3a_3x3(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)))
        x = self.MaxPool3d_4a_3x3(self.Mixed_3c(self.Mixed_3b(x)))
        for block in (self.Mixed_4b, self.Mixed_4c, self.Mixed_4d, self.Mixed_4e, self.Mixed_4f):
            x = block(x)
        x = self.Mixed_5c(self.Mixed_5b(self.MaxPool3d_5a_2x2(x)))
        embedding = functional.avg_pool3d(x, self.pool, stride=1)
        logits = self.logits["conv3d"](self.dropout(embedding))
        return logits.flatten(1), embedding.flatten(1)


@torch.no_grad()
def encode(network: PlainI3D, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Windows [W, 3, 16, S, S] to class scores [W, C] and features [W, F], a few at a time."""
    device = network.Conv3d_1a_7x7.conv3d.weight.device
    outputs = [network(batch.to(device)) for batch in clips.split(BATCH)]
    scores, features = (torch.cat(values).cpu() for values in zip(*outputs, strict=True))
    return scores, features


def read_video(path: str, size: int) -> Tensor:
    """All frames of a file, squeezed to `size` x `size`: float [3, N, size, size] in [-0.5, 0.5]."""
    capture = cv2.VideoCapture(path)
    frames = []
    while True:
        found, frame = capture.read()
        if not found:
            break
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        frames.append(cv2.resize(frame, (size, size)))
    capture.release()
    video = torch.from_numpy(np.stack(frames)).float() / 255 - 0.5
    return video.permute(3, 0, 1, 2)


def every_window(video: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` pixels of every stride-1 window: [N - 15, 3, 16, size, size], all copies."""
    edge = (video.shape[2] - size) // 2
    video = video[:, :, edge : edge + size, edge : edge + size]
    starts = range(video.shape[1] - WINDOW + 1)
    return torch.stack([video[:, start : start + WINDOW] for start in starts])


def encode_video(network: PlainI3D, path: str, resize: int, size: int) -> tuple[Tensor, Tensor]:
    """Class scores and features of every window of a video file."""
    return encode(network, every_window(read_video(path, resize), size))
