"""The sign encoder made fast without changing what it says: folded, shared, re-laid, or run by an engine."""

import copy
import importlib.util
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cico_model.clips import pad_frames, planes, windows
from cico_model.config import WINDOW_FRAMES
from cico_model.engines import Compile, Network, has_c_compiler, openvino_engine, torch_engine
from cico_model.packed_stem import Whole
from cico_model.precision import supports_bfloat16
from cico_model.shared_stem import SHARED_FRAMES, SHARED_WINDOWS, Body, SharedStem
from cico_model.sign_encoder import SignEncoder, SignOutput, Unit

Precision = Literal["auto", "float32", "bfloat16", "int8"]
SMALL_FRAME = 128
# Sharing the first layers pays while so many windows of the stretch are computed for each one that is wanted.
MOST_COMPUTED = 1.6
# Windows of large frames that are cut out at once where nothing is shared: some 40 MiB.
CUT_AT_ONCE = 4


def optimize_for_inference(
    encoder: SignEncoder,
    precision: Precision = "auto",
    calibration: Tensor | None = None,
    *,
    threads: int | None = None,
) -> "InferenceEncoder":
    """Make a sign encoder fast on the hardware at hand.

    Parameters
    ----------
    encoder
        The network; it is copied, not changed.
    precision
        `float32` is exact (to rounding); `bfloat16` keeps the cosine to the exact features above 0.9999;
        `int8` quantises weights and activations after training (OpenVINO and NNCF, CPU only); `auto` takes
        bfloat16 where the hardware multiplies it, else float32, and never quantises.
    calibration
        For `int8`: float [N, 3, 16, S, S], a few real clips in [-0.5, 0.5] from which the ranges are read.
    threads
        CPU threads; all of them by default.

    Returns
    -------
    InferenceEncoder
        Called with clips [B, 3, 16, S, S], it gives what the network gives in evaluation mode; its `encode`
        takes whole videos. On CUDA: bfloat16, channels-last, compiled where there is a C compiler, its first
        convolution on packed pixels (see `cico_model.packed_stem`). On a CPU: OpenVINO where it is installed,
        else the folded network.

    Raises
    ------
    ValueError
        If `int8` is asked for without calibration clips, without OpenVINO, or on another device than a CPU.
    """
    device = next(encoder.parameters()).device
    folded = fold_batch_norm(copy.deepcopy(encoder).eval()).requires_grad_(False)
    has_engine = device.type == "cpu" and importlib.util.find_spec("openvino") is not None
    small = folded.config.frame_size <= SMALL_FRAME
    bfloat16 = precision == "bfloat16" or (precision != "float32" and supports_bfloat16())
    if precision == "int8":
        if calibration is None or not len(calibration):
            raise ValueError("int8 needs calibration clips [N, 3, 16, S, S]: a few real ones, not noise")
        if not has_engine:
            raise ValueError("int8 runs on a CPU with openvino and nncf installed; use bfloat16 here")
    if device.type == "cuda":
        compiled = torch_engine(device, bfloat16=precision != "float32", compiled=has_c_compiler())
        return InferenceEncoder(folded, compiled, 64 if small else 32, packed=True, device=device)
    if has_engine:
        # Small frames need company to keep the cores busy; large ones do alone, and waste no padding.
        ranges = calibration if precision == "int8" else None
        run = openvino_engine(bfloat16=bfloat16, threads=threads, calibration=ranges)
        return InferenceEncoder(folded, run, 32 if small else 1, share=precision != "int8")
    return InferenceEncoder(
        folded, torch_engine(device, bfloat16=bfloat16, compiled=False), 32 if small else 4
    )


def fold_batch_norm(encoder: SignEncoder) -> SignEncoder:
    """Move each batch normalisation into the convolution before it, in place; exact up to rounding."""
    for unit in [m for m in encoder.modules() if isinstance(m, Unit)]:
        unit.conv3d = fuse_conv_bn_eval(unit.conv3d, unit.bn)
        unit.bn = nn.Identity()  # type: ignore[assignment]
    return encoder


class InferenceEncoder:
    """A sign encoder that is run in batches of one size: what it says does not depend on a window's company.

    Threads may share it: it serves one at a time, with all cores.

    Parameters
    ----------
    encoder
        Folded, in evaluation mode.
    compile_network
        Makes each part of it fast.
    batch_size
        Windows that are run together; a smaller batch is filled up with zeros.
    share
        Whether `encode` may compute the first layers of overlapping windows together.
    packed
        Whether windows that share nothing go through the first convolution on packed pixels.
    device
        Where videos are cut into windows.
    """

    def __init__(
        self,
        encoder: SignEncoder,
        compile_network: Compile,
        batch_size: int,
        *,
        share: bool = True,
        packed: bool = False,
        device: torch.device | None = None,
    ) -> None:
        even = encoder.config.frame_size % 2 == 0
        self.config, self.batch_size, self.device = encoder.config, batch_size, device
        self.share, self.packed = share and even, packed and even
        self._encoder, self._compile = encoder, compile_network
        self._turn = threading.Lock()

    def __call__(self, clips: Tensor) -> SignOutput:
        """Class scores and features of windows [B, 3, 16, S, S] in [-0.5, 0.5]."""
        with self._turn:
            return _in_batches([clips.float()], self._whole, self.batch_size)

    def encode(
        self, videos: Sequence[NDArray[np.uint8]], starts: Sequence[Sequence[int]]
    ) -> list[SignOutput]:
        """Class scores and features of the windows of whole videos, each frame read once.

        Where the wanted windows lie close together their first layers are computed on the stretch of video,
        not on each window (see `cico_model.shared_stem`): the same values up to rounding. Windows of all
        videos share the batches.

        Parameters
        ----------
        videos
            Decoded frames, uint8 [N, R, R, 3], R being `config.resize`; fewer than 16 repeat the last one.
        starts
            First frames of each video's windows, from `window_starts`; there may be none.

        Returns
        -------
        list of SignOutput
            [W, C] and [W, F] a video, in the order of its `starts`.
        """
        wanted = [sorted(set(chosen)) for chosen in starts]
        dense = [self.share and _is_dense(chosen) for chosen in wanted]
        found: dict[int, SignOutput] = {}
        for shared in (True, False):
            mine = [index for index, own in enumerate(dense) if own == shared and wanted[index]]
            if not mine:
                continue
            parts = (
                part
                for index in mine
                for part in (self._stretches if shared else self._cuts)(videos[index], wanted[index])
            )
            with self._turn:
                output = _in_batches(parts, self._body if shared else self._whole, self.batch_size)
            counts = [len(wanted[index]) for index in mine]
            by_video = zip(*(torch.split(values, counts) for values in output), strict=True)
            found |= {index: SignOutput(*pair) for index, pair in zip(mine, by_video, strict=True)}
        return [
            self._in_order(found[index], wanted[index], chosen) if chosen else self._nothing()
            for index, chosen in enumerate(starts)
        ]

    @cached_property
    def _whole(self) -> Network:
        size = self.config.frame_size
        network = Whole(self._encoder) if self.packed else self._encoder
        return self._compile(network, (self.batch_size, 3, WINDOW_FRAMES, size, size))

    @cached_property
    def _stem(self) -> Network:
        size = self.config.frame_size
        return self._compile(SharedStem(self._encoder), (1, 3, SHARED_FRAMES, size, size))

    @cached_property
    def _body(self) -> Network:
        size = -(-self.config.frame_size // 4)
        shape = (self.batch_size, self.config.channels(64), WINDOW_FRAMES // 2, size, size)
        return self._compile(Body(self._encoder), shape)

    def _stretches(self, frames: NDArray[np.uint8], starts: Sequence[int]) -> Iterator[Tensor]:
        """Rows for the body of the windows at these starts, ascending, a stretch of the video at a time."""
        frames = pad_frames(frames)
        for first in range(starts[0], starts[-1] + 1, SHARED_WINDOWS):
            rows = [start - first for start in starts if first <= start < first + SHARED_WINDOWS]
            if not rows:
                continue
            values = planes(frames[first : first + SHARED_FRAMES], self.config, self.device)
            missing = SHARED_FRAMES - values.shape[1]
            (shared,) = self._stem(functional.pad(values, (0, 0, 0, 0, 0, missing))[None])
            yield shared if len(rows) == SHARED_WINDOWS else shared[rows]

    def _cuts(self, frames: NDArray[np.uint8], starts: Sequence[int]) -> Iterator[Tensor]:
        """The windows at these starts, a few at a time."""
        size = max(CUT_AT_ONCE, self.batch_size)
        for first in range(0, len(starts), size):
            yield windows(frames, starts[first : first + size], self.config, self.device)

    def _in_order(self, output: SignOutput, wanted: list[int], chosen: Sequence[int]) -> SignOutput:
        if wanted == list(chosen):
            return output
        place = {start: row for row, start in enumerate(wanted)}
        rows = [place[start] for start in chosen]
        return SignOutput(output.logits[rows], output.embedding[rows])

    def _nothing(self) -> SignOutput:
        return SignOutput(torch.empty(0, self._encoder.num_classes), torch.empty(0, self.config.feature_dim))


def _is_dense(starts: Sequence[int]) -> bool:
    """Whether these windows, ascending, lie close enough together for their first layers to be shared."""
    if not starts:
        return False
    stretches = -(-(starts[-1] - starts[0] + 1) // SHARED_WINDOWS)
    return stretches * SHARED_WINDOWS <= MOST_COMPUTED * len(starts)


def _in_batches(parts: Iterable[Tensor], network: Network, batch_size: int) -> SignOutput:
    """Run rows that come in parts through a network in batches of one size; float32 on the CPU."""
    outputs: list[tuple[Tensor, ...]] = []
    held: list[Tensor] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        while count >= batch_size:
            rows = held[0] if len(held) == 1 else torch.cat(held)
            outputs.append(network(rows[:batch_size]))
            held, count = [rows[batch_size:]], count - batch_size
    if count:
        rows = torch.cat(held)
        missing = rows.new_zeros(batch_size - count, *rows.shape[1:])
        outputs.append(tuple(value[:count] for value in network(torch.cat([rows, missing]))))
    logits, embedding = (torch.cat(values) for values in zip(*outputs, strict=True))
    return SignOutput(logits.float().cpu(), embedding.float().cpu())
