"""Ray Train's trainer of PyTorch, without the helpers that have nothing to do in our runs."""

from typing import Any

from ray.train.torch import TorchTrainer

from cico_platform.cluster import is_started_here

# Hands out data sets of Ray Data, and Ray Data's settings: a loop here gets its samples as references.
OF_DATA_SETS = "DatasetsCallback"
# Gives the workers' place free if Ray Train's controller dies: here the whole Ray ends with its driver.
OF_LEFTOVERS = "PlacementGroupCleanerCallback"


class LeanTrainer(TorchTrainer):  # type: ignore[misc]
    """A `TorchTrainer` that starts a process less, or two where the Ray is one's own.

    Each helper costs the start of a process, and then 0.5 to 1% of a core for as long as the training lasts:
    a worker process of Ray looks for signals a hundred times a second. With several threads, every operation
    waits for the slowest, so the training loses as much.

    Ray Train has no setting for this; where its own names change, the helpers are back and a test says so.
    """

    def _create_default_callbacks(self) -> list[Any]:
        needless = {OF_DATA_SETS, *([OF_LEFTOVERS] if is_started_here() else [])}
        return [each for each in super()._create_default_callbacks() if type(each).__name__ not in needless]

    def _register_sigint_handler(self, controller: Any) -> None:
        """Leave Ctrl-C to who calls: Ray Train's handler swallows it, and ends with exit code 0."""
