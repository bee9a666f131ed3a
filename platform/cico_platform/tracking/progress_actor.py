"""The progress actor: workers report how far they are and what went wrong; the driver reads it."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

Row = dict[str, Any]
# Deaths without a step of progress between them, after which a run is given up.
DEATHS_ON_THE_SPOT = 5
OF_ONE_ERROR = 2


class _ProgressActor:
    """The state of a run that outlives its workers; held by a Ray actor (`open_progress_actor`)."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self._final = ""
        self._errors: dict[str, int] = {}
        self._starts: dict[int, int] = {}

    def begin(self, step: int) -> str:
        """Workers start at a step; returns why they should not, or nothing."""
        self._starts[step] = self._starts.get(step, 0) + 1
        if self._starts[step] > DEATHS_ON_THE_SPOT and not self._final:
            last = f"; the last error: {list(self._errors)[-1]}" if self._errors else ""
            self._final = f"workers died {DEATHS_ON_THE_SPOT} times at step {step}{last}"
        return self._final

    def fail(self, message: str, final: bool) -> None:
        """A worker's own error: `final` ones end the run, others when they come again."""
        self._errors[message] = self._errors.get(message, 0) + 1
        if (final or self._errors[message] >= OF_ONE_ERROR) and not self._final:
            self._final = message

    def final(self) -> str:
        """Why the run is over, if it failed for good."""
        return self._final

    def log(self, row: Row) -> None:
        """Add a row of metrics."""
        self.rows.append(row)

    def note(self, message: str) -> None:
        """Add something that people should know."""
        self.notes.append(message)

    def since(self, rows: int, notes: int) -> tuple[list[Row], list[str]]:
        """Rows and notes after the first so many of each."""
        return self.rows[rows:], self.notes[notes:]


def open_progress_actor() -> Any:
    """Start the progress actor of this driver's run, on its own machine: other nodes may leave."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(_ProgressActor).remote()
