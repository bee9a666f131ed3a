"""A run goes on where it was, to the step: after a worker's death, and after a damaged checkpoint."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cico_platform.errors import CicoError, InputError
from cico_platform.training.checkpoints import CheckpointStore, DamagedCheckpointError
from cico_platform.training.run_settings import RunSettings, check_workers
from cico_platform.training.runs import CHECKPOINTS, run_training
from cico_platform.training.session import Session

STEPS, KEY = 6, "a-key"
EVERY_STEP = RunSettings(checkpoint_seconds=0, threads=1, keep=3)
# In this process: for what does not depend on who runs the loop.
HERE = EVERY_STEP.model_copy(update={"workers": 0})


def make_loop(marks: Path, trouble: str = "", at: int = 4) -> Any:
    """A loop that adds random numbers, and gets into trouble in the middle, the first time (or each time)."""

    def loop(config: dict[str, Any], session: Session) -> None:
        import os
        import time
        from functools import partial

        import torch

        state = session.restored or {"sum": 0.0}
        total = float(state["sum"])
        torch.manual_seed(7)
        session.resume_random()
        for step in range(session.step, STEPS):
            with marks.open("a") as file:
                file.write(f"{step} ")
            if step == at and trouble == "dies" and marks.read_text().split().count(str(at)) == 1:
                os._exit(1)
            if step == at and trouble == "always dies":
                time.sleep(0.2)
                os._exit(1)
            if step == at and trouble == "fails":
                raise ValueError("the fifth step is cursed")
            if step == at and trouble == "diverges":
                raise FloatingPointError("the loss is no longer a number; lower the learning rate")
            total += float(torch.rand(()))
            last = step + 1 == STEPS
            row = {"epoch": 1, "steps": STEPS, "loss": total}
            told, kept = partial(dict, row), partial(dict, sum=total)
            session.after_step(told, kept, end_of_epoch=last, last=last)

    return loop


def undisturbed() -> float:
    """What the loop adds up to where nothing happens."""
    torch.manual_seed(7)
    return sum(float(torch.rand(())) for _ in range(STEPS))


@pytest.fixture(scope="module")
def ended(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended, with its marks beside it; to be copied."""
    home = tmp_path_factory.mktemp("ended")
    run_training(make_loop(home / "marks"), {}, home / "run", KEY, HERE)
    return home


@pytest.fixture(scope="module")
def cursed(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on Ray Train that fails at its fifth step each time, and what it was told; to be copied."""
    home = tmp_path_factory.mktemp("cursed")
    with pytest.raises(CicoError) as failure:
        run_training(make_loop(home / "marks", "fails"), {}, home / "run", KEY, EVERY_STEP)
    return home, str(failure.value)


@pytest.mark.usefixtures("ray_cluster")
class TestRuns:
    def test_a_worker_that_dies_repeats_no_saved_step_and_draws_the_same_numbers(
        self, tmp_path: Path
    ) -> None:
        marks, seen, rows = tmp_path / "marks", list[tuple[Any, ...]](), list[dict[str, Any]]()
        state = run_training(
            make_loop(marks, "dies"), {}, tmp_path / "run", KEY, EVERY_STEP,
            lambda *p, **_: seen.append(p), [rows.append],
        )  # fmt: skip
        assert state["sum"] == pytest.approx(undisturbed(), abs=1e-12)
        assert marks.read_text().split() == ["0", "1", "2", "3", "4", "4", "5"]
        assert seen[-1] == (STEPS, STEPS)
        assert rows[-1]["step"] == STEPS
        assert {"epoch", "steps", "loss", "time"} < set(rows[-1])

        again = run_training(make_loop(marks), {}, tmp_path / "run", KEY, HERE)
        assert again["sum"] == state["sum"]
        assert len(marks.read_text().split()) == 7, "an ended run is not trained again"

    def test_a_run_without_workers_is_the_same_in_this_process(self, tmp_path: Path) -> None:
        pids, rows = list[int](), list[dict[str, Any]]()

        def loop(config: dict[str, Any], session: Session) -> None:
            pids.append(os.getpid())
            make_loop(tmp_path / "marks")(config, session)

        state = run_training(loop, {}, tmp_path / "run", KEY, HERE, None, [rows.append])
        assert state["sum"] == pytest.approx(undisturbed(), abs=1e-12)
        assert (pids, rows[-1]["step"], rows[-1]["workers"]) == ([os.getpid()], STEPS, 1)
        with pytest.raises(CicoError, match=r"^training failed: the fifth step is cursed$"):
            run_training(make_loop(tmp_path / "tries", "fails"), {}, tmp_path / "cursed", KEY, HERE)
        assert (tmp_path / "tries").read_text().split() == ["0", "1", "2", "3", "4"], "there is no second try"

    def test_a_damaged_checkpoint_is_passed_over_and_that_is_said(
        self, cursed: tuple[Path, str], tmp_path: Path
    ) -> None:
        marks, said = tmp_path / "marks", list[str]()
        shutil.copytree(cursed[0] / "run", tmp_path / "run")
        newest = sorted((tmp_path / "run" / CHECKPOINTS).glob("*.pt"))[-1]
        newest.write_bytes(newest.read_bytes()[:-100] + bytes(100))
        state = run_training(
            make_loop(marks), {}, tmp_path / "run", KEY, HERE, lambda *_, note="", **__: said.append(note)
        )
        assert marks.read_text().split() == ["3", "4", "5"]
        assert state["sum"] == pytest.approx(undisturbed(), abs=1e-12)
        assert any("damaged checkpoint was passed over" in note and newest.name in note for note in said)

    def test_resume_never_starts_anew(self, ended: Path, tmp_path: Path) -> None:
        shutil.copytree(ended, tmp_path, dirs_exist_ok=True)
        anew = HERE.model_copy(update={"resume": "never"})
        run_training(make_loop(tmp_path / "marks"), {}, tmp_path / "run", KEY, anew)
        assert (tmp_path / "marks").read_text().split() == [str(step) for step in range(STEPS)] * 2

    def test_an_error_that_comes_again_is_told_in_its_own_words(self, cursed: tuple[Path, str]) -> None:
        home, message = cursed
        assert message == "training failed: the fifth step is cursed"
        assert (home / "marks").read_text().split().count("4") == 2

    def test_a_loss_that_is_no_number_is_not_tried_again(self, tmp_path: Path) -> None:
        with pytest.raises(CicoError, match="lower the learning rate"):
            run_training(make_loop(tmp_path / "marks", "diverges"), {}, tmp_path / "run", KEY, EVERY_STEP)
        assert (tmp_path / "marks").read_text().split().count("4") == 1

    @pytest.mark.slow
    def test_workers_that_die_again_and_again_on_the_spot_end_the_run(self, tmp_path: Path) -> None:
        with pytest.raises(CicoError, match="workers died 5 times at step 4"):
            run_training(make_loop(tmp_path / "marks", "always dies"), {}, tmp_path / "run", KEY, EVERY_STEP)

    def test_a_checkpoint_of_other_settings_is_refused_and_stays(self, ended: Path, tmp_path: Path) -> None:
        shutil.copytree(ended, tmp_path, dirs_exist_ok=True)
        with pytest.raises(CicoError, match="a checkpoint of other settings or inputs; remove"):
            run_training(make_loop(tmp_path / "marks"), {}, tmp_path / "run", "another", HERE)
        assert CheckpointStore(tmp_path / "run" / CHECKPOINTS, KEY).last()[0] == STEPS


def test_checkpoints_are_pruned_whole_and_refuse_what_was_changed(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints", KEY, keep=2)
    assert store.last() == (0, None, [])
    for step in (1, 20, 300):
        store.save(step, {"weights": torch.full((3,), float(step)), "history": [{"loss": 0.5}]})
    assert store.steps() == [20, 300]
    assert len(list(store.folder.iterdir())) == 4
    step, state, complaints = store.last()
    assert (step, complaints) == (300, [])
    assert state is not None
    torch.testing.assert_close(state["weights"], torch.full((3,), 300.0))

    newest = store.folder / "step-0000000300.pt"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpointError, match="is not what was written"):
        store.load(300)
    newest.unlink()
    step, state, complaints = store.last()
    assert step == 20
    assert len(complaints) == 1


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, size: int) -> None:
    store = CheckpointStore(tmp_path / "checkpoints", KEY)
    store.save(1, {"weights": torch.ones(3)})
    partial = store.folder / ".step-0000000002.pt.partial"
    partial.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        store.save(2, {"weights": torch.zeros(size), "more": torch.zeros(size)})
    assert not partial.is_symlink()
    assert store.steps() == [1]
    assert store.last()[0] == 1


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    store = CheckpointStore(tmp_path / "checkpoints", KEY)
    store.save(1, {"evil": Evil()})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        store.last()
    assert not (tmp_path / "ran").exists()


def test_each_worker_needs_a_part_of_every_batch() -> None:
    check_workers(4, 16)
    check_workers(1, 2)
    with pytest.raises(InputError, match="5 workers can't share batches of 16"):
        check_workers(5, 16)
    with pytest.raises(ValueError, match="min_workers"):
        RunSettings(workers=2, min_workers=3)


def test_rows_are_told_now_and_then_and_at_the_end_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    from cico_platform.training import session as module
    from cico_platform.training.workers import Worker

    monkeypatch.setattr(module, "SECONDS_BETWEEN_ROWS", 3600.0)
    session = Session(Worker(0, 1, torch.device("cpu")))
    assert session.begin() == ""
    for step in range(50):
        session.after_step(lambda: {"loss": 1.0}, dict, end_of_epoch=step == 49, last=step == 49)
    assert [row["step"] for row in session.rows] == [50]
    monkeypatch.setattr(module, "SECONDS_BETWEEN_ROWS", 0.0)
    session.after_step(lambda: {"loss": 1.0}, dict, end_of_epoch=False, last=False)
    assert [row["step"] for row in session.rows] == [50, 51]
