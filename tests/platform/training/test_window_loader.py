"""Training windows are the same for any number of workers and threads, and after any resume."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sample_stores import build_here
from tiny_corpus import LABELS, MICRO

from cico_model.augmentation import augment_clip, backdrop_of, fade_backdrop, fading, random_window
from cico_model.clips import windows
from cico_platform.errors import CicoError
from cico_platform.training.checkpoints import State
from cico_platform.training.data.cuts import Cut, FrameSettings
from cico_platform.training.data.sample_store import SampleStore
from cico_platform.training.data.window_loader import (
    Window,
    WindowLoader,
    WindowSettings,
    draw_window,
    middle_window,
)
from cico_platform.training.session import Row, Session
from cico_platform.training.sign_encoder import SignEncoderSettings
from cico_platform.training.tasks.sign_encoder import Clips, SignEncoderRun, SignEncoderTask
from cico_platform.training.trainer import Trainer
from cico_platform.training.workers import Worker

CPU = torch.device("cpu")
DRAWING = WindowSettings(seed=3, flip=0.5, speed=0.5, backdrop=0.6)
CUTS = [Cut(f"sign-{label}-{signer}", label) for label in LABELS for signer in range(2)]


@pytest.fixture(scope="module")
def folder(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    short = [Cut("sign-red-2", "red", 3, 8)]
    build_here(
        tiny_corpus, [*CUTS, *short], folder / "train", FrameSettings(size=MICRO.resize, backdrop=True)
    )
    build_here(tiny_corpus, CUTS[:3], folder / "held_out", FrameSettings(size=MICRO.resize))
    return folder


@pytest.fixture
def store(folder: Path) -> SampleStore:
    return SampleStore(str(folder / "train"))


def loader(store: SampleStore, threads: int = 1) -> WindowLoader:
    return WindowLoader(store, MICRO, CPU, threads)


def draws(store: SampleStore, numbers: list[int]) -> list[Window]:
    return [draw_window(store, MICRO, DRAWING, 1, number, 0.3) for number in numbers]


def test_a_window_has_the_pixels_that_the_clip_by_clip_code_gives(store: SampleStore) -> None:
    wanted = list(range(2 * len(store)))
    with loader(store) as loading:
        ((found, samples),) = loading.batches([draws(store, wanted)])
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    assert samples == [draw % len(store) for draw in wanted]
    faded = 0
    for clip, draw in zip(found, wanted, strict=True):
        rng, frames = np.random.default_rng([3, 1, draw]), store.read(draw % len(store))
        window = random_window(frames, rng, DRAWING.speed)
        share = fading(0.3, DRAWING.backdrop, rng)
        faded += share > 0
        backdrop = np.empty((MICRO.resize, MICRO.resize, 3), np.uint8)
        store.read_backdrop(draw % len(store), backdrop)
        assert np.abs(backdrop.astype(int) - backdrop_of(frames)).mean() < 4
        expected = augment_clip(fade_backdrop(window, backdrop, share), MICRO, rng, flip=0.5)
        assert torch.equal(clip, expected)
    assert faded > len(store)


def test_batches_do_not_depend_on_threads_or_on_how_many_are_under_way(store: SampleStore) -> None:
    batches = [[0, 5, 2], [7], [4, 4, 1, 3], [6, 0]]
    with loader(store) as one, loader(store, threads=4) as many:
        many.ahead = 3
        first = list(one.batches(draws(store, batch) for batch in batches))
        second = list(many.batches(draws(store, batch) for batch in batches))
    assert [samples for _, samples in first] == [samples for _, samples in second] == batches
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))


def task_of(folder: Path, session: Session) -> SignEncoderTask:
    values = {"batch_size": 4, "epochs": 2, "windows_per_sample": 2, "dropout": 0, "run": {"workers": 4}}
    settings = SignEncoderSettings.model_validate(values)
    stores = {"samples": str(folder / "train"), "held_out": str(folder / "held_out")}
    return SignEncoderTask(SignEncoderRun(settings, MICRO, LABELS, None, False, **stores), session)


def training(folder: Path) -> Trainer[Clips]:
    session = Session(Worker(0, 1, CPU))
    return Trainer(task_of(folder, session), session)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_workers_share_the_batches_of_one(folder: Path, workers: int) -> None:
    alone, *shares = (
        list(task_of(folder, Session(Worker(rank, count, CPU))).batches(epoch=1, first=1))
        for rank, count in [(0, 1), *((rank, workers) for rank in range(workers))]
    )
    assert len(alone) >= 3
    for whole, *parts in zip(alone, *shares, strict=True):
        assert {part.size for part in parts} == {whole.size}
        clips, targets = (torch.cat(values) for values in zip(*(part.inputs for part in parts), strict=True))
        torch.testing.assert_close(clips, whole.inputs[0], rtol=0, atol=1e-6)
        assert torch.equal(targets, whole.inputs[1])


@pytest.mark.parametrize("step", [2, 6])
def test_a_resumed_training_takes_the_same_steps(folder: Path, step: int) -> None:
    whole, resumed = training(folder), training(folder)
    kept: list[State] = []
    after_step = whole.session.after_step

    def keep(row: Callable[[], Row], state: Callable[[], State], *, end_of_epoch: bool, last: bool) -> None:
        after_step(row, state, end_of_epoch=end_of_epoch, last=last)
        if whole.session.step == step:
            kept.append(stored(state()))

    whole.session.after_step = keep  # type: ignore[method-assign]
    whole.run()
    resumed.restore(kept[0])
    resumed.run()
    assert resumed.history == whole.history
    assert all(0 <= row["accuracy"] <= 100 for row in whole.history)
    for name, value in whole.task.model.state_dict().items():
        assert torch.equal(value, resumed.task.model.state_dict()[name]), name


def stored(state: State) -> State:
    """The state as it comes out of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    result: State = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    return result


def test_the_middle_window_is_that_of_the_encoder(store: SampleStore) -> None:
    shortest = min(range(len(store)), key=store.frame_count)
    assert store.frame_count(shortest) == 5
    chosen = [0, 3, shortest]
    with loader(store) as loading:
        ((found, samples),) = loading.batches([[middle_window(store, sample) for sample in chosen]])
    assert samples == chosen
    for clip, sample in zip(found, chosen, strict=True):
        frames = store.read(sample)
        start = max(len(frames) - 16, 0) // 2
        torch.testing.assert_close(clip, windows(frames, [start], MICRO)[0], rtol=0, atol=1e-6)


def test_a_damaged_frame_ends_the_training_with_its_name(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "train").iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content if path.suffix != ".frames" else content[:50])
    store = SampleStore(str(tmp_path))
    with loader(store) as loading, pytest.raises(CicoError, match="is damaged"):
        list(loading.batches([draws(store, [3])]))
