"""Batches of training windows: frames are decoded in threads and augmented on the device."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_model.augmentation import (
    Augmentation,
    augment_clips,
    draw_augmentation,
    fade_backdrops,
    fading,
    window_frames,
)
from cico_model.clips import normalise
from cico_model.config import WINDOW_FRAMES, SignEncoderConfig
from cico_platform.training.data.device_batches import on_device
from cico_platform.training.data.sample_store import SampleStore

# Batches that are decoded while the device computes; on a CPU the network has all cores already.
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Window:
    """One window of a sample.

    Attributes
    ----------
    sample
        Index into the store.
    frames
        Indices [16] of its frames.
    fade
        Share of the backdrop that is faded; 0 leaves all.
    augmentation
        None: the middle of the frames, as they are.
    """

    sample: int
    frames: NDArray[np.int64]
    fade: float = 0.0
    augmentation: Augmentation | None = None


@dataclass(frozen=True)
class WindowSettings:
    """How training windows are drawn; see `SignEncoderSettings`."""

    seed: int
    flip: float
    speed: float
    backdrop: float


def draw_window(
    store: SampleStore,
    config: SignEncoderConfig,
    settings: WindowSettings,
    epoch: int,
    draw: int,
    progress: float,
) -> Window:
    """Draw a training window: a pure function of its arguments.

    Parameters
    ----------
    epoch, draw
        The epoch, and the number of the window in it; `draw` modulo the number of samples is the sample. With
        `settings.seed` they seed the window's own random numbers: it is the same for any number of workers
        and after any resume.
    progress
        Part of the training that is done, 0 to 1.
    """
    rng = np.random.default_rng([settings.seed, epoch, draw])
    sample = draw % len(store)
    frames = window_frames(store.frame_count(sample), rng, settings.speed)
    fade = fading(progress, settings.backdrop, rng)
    return Window(sample, frames, fade, draw_augmentation(store.size, config, rng, flip=settings.flip))


def middle_window(store: SampleStore, sample: int) -> Window:
    """The 16 frames in the middle; a shorter sample repeats its last one."""
    count = store.frame_count(sample)
    start = max(count - WINDOW_FRAMES, 0) // 2
    return Window(sample, np.minimum(np.arange(start, start + WINDOW_FRAMES), count - 1))


class WindowLoader:
    """Reads windows of a store for one process; closes its threads at the end of a `with` block.

    Parameters
    ----------
    threads
        That decode.
    """

    def __init__(
        self, store: SampleStore, config: SignEncoderConfig, device: torch.device, threads: int
    ) -> None:
        self.store, self.config, self.device = store, config, device
        self.ahead = 0 if device.type == "cpu" else BATCHES_AHEAD
        # A thread that is waited for at once only costs two changes of context.
        self.inline = not self.ahead and threads <= 1
        self._pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode")

    def __enter__(self) -> "WindowLoader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)

    def batches(self, windows: Iterable[Sequence[Window]]) -> Iterator[tuple[Tensor, list[int]]]:
        """Load batches in order, the next ones while the caller works with one.

        Yields
        ------
        tuple
            Clips on the device, float32 [B, 3, 16, S, S] in [-0.5, 0.5], channels last in memory; the sample
            of each.

        Raises
        ------
        CicoError
            If the store is damaged or cannot be read.
        """
        for batch in self.load(windows):
            yield self._finish(batch), [window.sample for window in batch.windows]

    def load(self, windows: Iterable[Sequence[Window]]) -> Iterator["DecodedBatch"]:
        """`batches` before augmentation: bytes on the device."""
        decoded = ((batch.windows, (batch.clips, batch.backdrops)) for batch in self._decoded(windows))
        for wanted, (clips, backdrops) in on_device(decoded, self.device):
            yield DecodedBatch(wanted, clips, backdrops)

    def _decoded(self, windows: Iterable[Sequence[Window]]) -> Iterator["DecodedBatch"]:
        """Batches in the memory of the CPU."""
        pending: deque[_Pending] = deque()
        for wanted in windows:
            pending.append(self._start(wanted))
            if len(pending) > self.ahead:
                yield _finished(pending.popleft())
        while pending:
            yield _finished(pending.popleft())

    def _start(self, windows: Sequence[Window]) -> "_Pending":
        """Begin to decode a batch into memory from which a GPU copies by itself."""
        size, pinned = self.store.size, self.device.type == "cuda"
        shape = (len(windows), WINDOW_FRAMES, size, size, 3)
        clips = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        work: list[Callable[[], None]] = [
            _reading(self.store.read_into, window.sample, window.frames, out)
            for window, out in zip(windows, clips.numpy(), strict=True)
        ]
        backdrops = None
        if any(window.fade > 0 for window in windows):
            backdrops = torch.zeros((len(windows), size, size, 3), dtype=torch.uint8, pin_memory=pinned)
            work += [
                _reading(self.store.read_backdrop, window.sample, out)
                for window, out in zip(windows, backdrops.numpy(), strict=True)
                if window.fade > 0
            ]
        batch = DecodedBatch(windows, clips, backdrops)
        if self.inline:
            for each in work:
                each()
            return _Pending(batch, [])
        return _Pending(batch, [self._pool.submit(each) for each in work])

    def _finish(self, batch: "DecodedBatch") -> Tensor:
        clips = batch.clips
        if batch.backdrops is not None:
            clips = fade_backdrops(clips, batch.backdrops, [window.fade for window in batch.windows])
        drawn = [w.augmentation for w in batch.windows if w.augmentation is not None]
        if len(drawn) == len(batch.windows):
            return augment_clips(clips, drawn, self.config)
        edge, side = (self.store.size - self.config.frame_size) // 2, self.config.frame_size
        middle = clips[:, :, edge : edge + side, edge : edge + side]
        return normalise(middle.contiguous()).permute(0, 4, 1, 2, 3)


@dataclass(frozen=True)
class DecodedBatch:
    """Windows as bytes: clips uint8 [B, 16, R, R, 3], and backdrops [B, R, R, 3] where any is faded."""

    windows: Sequence[Window]
    clips: Tensor
    backdrops: Tensor | None


@dataclass(frozen=True)
class _Pending:
    """A batch that threads are filling."""

    batch: DecodedBatch
    futures: list[Future[None]]


def _finished(pending: _Pending) -> DecodedBatch:
    """Wait for a batch's frames."""
    for future in pending.futures:
        future.result()
    return pending.batch


def _reading(read: Callable[..., None], *arguments: object) -> Callable[[], None]:
    return lambda: read(*arguments)
