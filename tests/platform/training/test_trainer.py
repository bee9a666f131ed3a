"""The trainer's own work, on a task of a single weight: validation, early end, refusal of a diverged loss."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cico_platform.errors import InputError
from cico_platform.training import session as session_module
from cico_platform.training.checkpoints import CheckpointStore
from cico_platform.training.losses import STEPS_PER_READING, Losses
from cico_platform.training.precision import Precision
from cico_platform.training.retrieval_settings import RetrievalSettings
from cico_platform.training.session import Session
from cico_platform.training.sign_encoder_settings import SignEncoderSettings
from cico_platform.training.task import Batch, Metrics, Plan, Task
from cico_platform.training.trainer import Trainer
from cico_platform.training.workers import Worker

CPU = torch.device("cpu")
STEPS = 3


class Toy(Task[float]):
    """Moves a weight by -1 a step; validations give the scores that a test names, one after the other."""

    keeps_best = True

    def __init__(
        self, scores: Sequence[float | None] = (), losses: Sequence[float] = (), **plan: Any
    ) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.schedule = None
        usual = Plan(epochs=6, total_steps=6 * STEPS, max_grad_norm=10.0, precision="float32")
        self.plan = replace(usual, **plan)
        self.scores, self.losses = list(scores), list(losses) or [0.5] * 100
        self.validated_at, self.is_closed = list[float](), False

    def seed(self, epoch: int) -> int:
        return epoch

    def steps(self, epoch: int) -> int:
        return STEPS

    def batches(self, epoch: int, first: int) -> Iterator[Batch[float]]:
        for step in range(first, STEPS):
            yield Batch(4, self.losses[epoch * STEPS + step])

    def backward(self, network: nn.Module, batch: Batch[float], precision: Precision) -> Tensor:
        network(torch.ones(1, 1)).sum().backward()
        return torch.tensor(batch.inputs)

    def mean_loss(self, losses: Sequence[float], sizes: Sequence[int]) -> float:
        return sum(losses) / len(losses)

    def validate(self, precision: Precision) -> Metrics:
        self.validated_at.append(self.model.weight.item())
        score = self.scores[len(self.validated_at) - 1] if self.scores else None
        return {} if score is None else {"accuracy": score}

    def score(self, metrics: Metrics) -> float:
        return float(metrics["accuracy"])

    def close(self) -> None:
        self.is_closed = True


class Notes(Session):
    """A session that keeps its notes."""

    def __init__(self, store: CheckpointStore | None = None) -> None:
        super().__init__(Worker(0, 1, CPU), store, interval=0.0)
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def best_weight(trainer: Trainer[float]) -> float:
    return float(trainer.state()["best"]["weights"]["weight"])


def test_the_last_epoch_is_always_validated_and_the_best_is_kept_the_later_of_equals() -> None:
    task = Toy([40.0, 50.0, 50.0, 30.0], epochs=7, validate_every=2)
    session = Notes()
    trainer = Trainer(task, session)
    trainer.run()
    assert task.validated_at == [-6.0, -12.0, -18.0, -21.0]
    assert best_weight(trainer) == -18.0
    best = trainer.state()["best"]
    assert (best["epoch"], best["metrics"]) == (6, {"accuracy": 50.0})
    assert [row["epoch"] for row in trainer.history if "accuracy" in row] == [2, 4, 6, 7]
    assert session.notes == []
    assert task.is_closed


def test_without_held_out_data_the_last_validated_epoch_is_kept() -> None:
    trainer = Trainer(Toy(epochs=3, patience=1), Notes())
    trainer.run()
    assert (trainer.epoch, best_weight(trainer)) == (3, -9.0)
    assert all("accuracy" not in row for row in trainer.history)


def test_a_training_ends_early_once_validations_stay_no_better_for_long_enough(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "key")
    session = Notes(store)
    session.begin()
    trainer = Trainer(Toy([10.0, 30.0, 20.0, 30.0, 99.0, 99.0], patience=2), session)
    trainer.run()
    assert trainer.epoch == 4
    assert best_weight(trainer) == -12.0, "equal to the best so far, and later"
    assert session.notes == ["ended early: 2 validations in a row were no better than the best one"]
    step, state, _ = store.last()
    assert (step, state is not None and state["done"]) == (4 * STEPS, True)

    again = Notes(store)
    again.begin()
    task = Toy([99.0], patience=2)
    Trainer(task, again).run()
    assert task.validated_at == [], "what has ended early is not trained again"


def test_patience_goes_on_where_it_was(tmp_path: Path) -> None:
    session = Notes(CheckpointStore(tmp_path, "key", keep=100))
    session.begin()
    Trainer(Toy([10.0, 5.0], epochs=2, patience=2), session).run()
    resumed = Notes(CheckpointStore(tmp_path, "key"))
    resumed.begin()
    trainer = Trainer(Toy([6.0, 7.0], patience=2), resumed)
    trainer.run()
    assert trainer.epoch == 3
    assert best_weight(trainer) == -3.0


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("epochs", [2, 4])
def test_a_run_that_goes_on_with_fewer_steps_an_epoch_ends(steps: int, epochs: int, tmp_path: Path) -> None:
    """As with more workers, which leave a rest of an epoch out that is too small for all of them."""
    store = CheckpointStore(tmp_path, "key")
    first = Notes(store)
    cut = Trainer(Toy(epochs=epochs, losses=[0.5] * 5 + [float("nan")] * 9), first)
    with pytest.raises(FloatingPointError):
        cut.run()  # in the last step of the second epoch
    assert (cut.epoch, cut.step_of_epoch) == (1, 2)

    class Shorter(Toy):
        def steps(self, epoch: int) -> int:
            return steps

        def batches(self, epoch: int, first: int) -> Iterator[Batch[float]]:
            return (Batch(4, 0.5) for _ in range(first, steps))

    resumed = Notes(store)
    resumed.begin()
    trainer = Trainer(Shorter(epochs=epochs), resumed)
    trainer.run()
    assert trainer.epoch == epochs
    assert [row["epoch"] for row in trainer.history] == list(range(1, epochs + 1))
    assert trainer.task.model.weight.item() == -(STEPS + 2 + steps * (epochs - 2))
    _, state, _ = store.last()
    assert state is not None
    assert state["done"]


def test_a_diverged_loss_ends_the_training_at_its_step_and_before_a_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "key")
    session = Notes(store)
    session.begin()
    task = Toy(losses=[0.5, 0.4, float("nan"), 0.3])
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        Trainer(task, session).run()
    assert store.steps()[-1] == 2
    assert task.is_closed


def test_losses_on_a_gpu_are_read_together_and_none_is_overlooked() -> None:
    losses = Losses(torch.device("cuda"))
    losses.add(torch.tensor(float("inf")), 4)
    for _ in range(STEPS_PER_READING - 2):
        losses.add(torch.tensor(1.0), 4)
    with pytest.raises(FloatingPointError, match="no longer a number"):
        losses.add(torch.tensor(1.0), 4)
    few = Losses(torch.device("cuda"))
    few.add(torch.tensor(float("nan")), 4)
    with pytest.raises(FloatingPointError, match="no longer a number"):
        few.read()


def test_steps_are_told_with_their_own_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SECONDS_BETWEEN_ROWS", 0.0)
    session = Notes()
    Trainer(Toy([1.0], epochs=1, losses=[0.25, 0.5, 0.75], total_steps=STEPS), session).run()
    assert [row["loss"] for row in session.rows] == [0.25, 0.5, 0.5]
    assert [row["step"] for row in session.rows] == [1, 2, 3]
    assert session.rows[-1] | {"samples_per_second": 0, "time": 0} == {
        "step": 3, "epoch": 1, "steps": 3, "lr": 1.0, "samples_per_second": 0, "loss": 0.5, "accuracy": 1.0,
        "workers": 1, "time": 0,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [RetrievalSettings, SignEncoderSettings])
def test_patience_that_is_not_used_changes_no_key(kind: Callable[..., Any]) -> None:
    assert "patience" not in kind().decisive()
    assert kind(patience=3).decisive()["patience"] == 3
    assert kind(run={"compile": "default"}).decisive() == kind().decisive()


def test_compiled_towers_take_no_micro_batches() -> None:
    with pytest.raises(ValueError, match="set piece or"):
        RetrievalSettings(piece=8, run={"compile": "default"})


def test_a_checkpoint_of_another_version_is_refused_with_advice(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "key")
    store.save(7, {"epoch": 1})
    (note,) = tmp_path.glob("*.json")
    note.write_text(note.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(InputError, match=r"another version of this program; remove '.*' to start anew"):
        store.last()
