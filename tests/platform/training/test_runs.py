"""A run goes on from its last checkpoint after a worker died, and an ended run is not trained again."""

import time
from pathlib import Path
from typing import Any

import pytest

from cico_platform.errors import CicoError
from cico_platform.training.runs import HISTORY_FILE, read_history, run_training

pytestmark = pytest.mark.usefixtures("ray_cluster")
EPOCHS = 4


def make_loop(marks: Path, trouble: str) -> Any:
    """A loop that counts to four and gets into trouble at its third epoch, the first time."""

    def loop(config: dict[str, Any]) -> None:
        import os
        import time

        from cico_platform.training import runs

        runs.SECONDS_BETWEEN_CHECKPOINTS = 0.0
        place = runs.worker(1)
        state = runs.load_state(place) or {"epoch": 0, "sum": 0}
        saver = runs.Saver(place, config["folder"])
        for epoch in range(state["epoch"], EPOCHS):
            with marks.open("a") as file:
                file.write(f"{epoch} ")
            if epoch == 2 and trouble == "dies" and marks.read_text().count("2") == 1:
                time.sleep(2)  # the controller takes a report a moment after it was made
                os._exit(1)
            if epoch == 2 and trouble == "fails":
                raise ValueError("the third epoch is cursed")
            state = {"epoch": epoch + 1, "sum": state["sum"] + epoch}
            saver.save(state, {"epoch": epoch + 1}, last=epoch + 1 == EPOCHS)

    return loop


def test_a_worker_that_dies_is_replaced_and_repeats_no_saved_epoch(tmp_path: Path) -> None:
    marks, folder = tmp_path / "marks", tmp_path / "folder"
    folder.mkdir()
    state = run_training(make_loop(marks, "dies"), {}, folder, 1, EPOCHS)
    assert state == {"epoch": EPOCHS, "sum": 0 + 1 + 2 + 3}
    assert marks.read_text().split() == ["0", "1", "2", "2", "3"]
    assert [row["epoch"] for row in read_history(folder / HISTORY_FILE)] == [1, 2, 3, 4]

    began = time.monotonic()
    again = run_training(make_loop(marks, "dies"), {}, folder, 1, EPOCHS)
    assert again == state
    assert len(marks.read_text().split()) == 5
    assert time.monotonic() - began < 120


@pytest.mark.slow
def test_an_error_that_stays_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(CicoError, match="training failed: the third epoch is cursed"):
        run_training(make_loop(tmp_path / "marks", "fails"), {}, tmp_path, 1, EPOCHS)
