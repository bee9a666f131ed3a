"""The sides of the row `sample-store`: windows from raw pixels in memory, and from a sample store."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from cico_model.augmentation import augment_clip, augment_clips, draw_augmentation, random_window
from cico_model.config import SIGN_ENCODERS, SignEncoderConfig
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work
from cico_platform.training.data.sample_store import SampleStore
from cico_platform.training.data.window_loader import Window, WindowLoader, WindowSettings, draw_window

Begin = Callable[[], None]
DRAWING = WindowSettings(seed=0, flip=0.5, speed=0.0, backdrop=0.0)


def raw_pixels(task: Task, begin: Begin) -> Work:
    """Cut windows out of pixels in memory and augment them, clip by clip, on one thread."""
    torch.set_num_threads(1)
    config, batch = SIGN_ENCODERS[task.values["size"]], task.values["batch"]
    segments = np.load(task.folder / "segments.npy", mmap_mode="r")
    begin()

    def run() -> Outputs:
        for first in range(0, task.values["windows"], batch):
            clips = []
            for draw in range(first, first + batch):
                rng = np.random.default_rng([0, 0, draw])
                window = random_window(segments[draw % len(segments)], rng)
                clips.append(augment_clip(window, config, rng))
            torch.stack([clip.permute(1, 2, 3, 0) for clip in clips]).permute(0, 4, 1, 2, 3)
        return {}

    return Work(run, run)


def stored(task: Task, begin: Begin) -> Work:
    """Read and decode windows out of a store, on one thread, up to the device's batch of bytes."""
    begin()
    reader = _Reader(task.folder / "samples", task)
    return Work(lambda: reader.read(0), lambda: reader.read(0))


def two_processes(task: Task, begin: Begin) -> Work:
    """`stored` in two processes at the same time, each with other windows."""
    begin()
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))

    def run() -> Outputs:
        waiting = [pool.submit(_read_in_child, task, number) for number in range(2)]
        for each in waiting:
            each.result()
        return {}

    return Work(run, run)


def augmented(task: Task, begin: Begin) -> Work:
    """Augment batches that are on the device already."""
    config, batch = SIGN_ENCODERS[task.values["size"]], task.values["batch"]
    segments = np.load(task.folder / "segments.npy", mmap_mode="r")
    frames = np.stack([segments[row % len(segments), :16] for row in range(batch)])
    clips, rng = torch.from_numpy(frames).to(task.device), np.random.default_rng(0)
    begin()

    def run() -> Outputs:
        for _ in range(0, task.values["windows"], batch):
            drawn = [draw_augmentation(config.resize, config, rng) for _ in range(batch)]
            augment_clips(clips, drawn, config)
        return {}

    return Work(run, run)


class _Reader:
    """Reads batches of drawn windows out of a store."""

    def __init__(self, folder: Path, task: Task) -> None:
        torch.set_num_threads(1)
        self.config: SignEncoderConfig = SIGN_ENCODERS[task.values["size"]]
        self.store, self.task = SampleStore(str(folder)), task
        self.loader = WindowLoader(self.store, self.config, torch.device(task.device), threads=1)
        self.epoch = 0

    def read(self, process: int) -> Outputs:
        """Read as many windows as the task says, others each time."""
        self.epoch += 1
        for _ in self.loader.load(self._windows(process)):
            pass
        return {}

    def _windows(self, process: int) -> Iterator[list[Window]]:
        rng = np.random.default_rng([process, self.epoch])
        batch = self.task.values["batch"]
        for _ in range(0, self.task.values["windows"], batch):
            draws = rng.integers(len(self.store), size=batch).tolist()
            yield [draw_window(self.store, self.config, DRAWING, self.epoch, draw, 0.0) for draw in draws]


_readers: dict[str, _Reader] = {}


def _read_in_child(task: Task, process: int) -> None:
    key = str(task.folder)
    if key not in _readers:
        _readers[key] = _Reader(task.folder / "samples", task)
    _readers[key].read(process)
