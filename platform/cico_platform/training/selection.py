"""The best validation so far: its epoch, its metrics, its weights, and how long it has been the best."""

from typing import Any

from torch import Tensor, nn

from cico_platform.training.checkpoints import State


class Selection:
    """Keeps the best of the validations; of equal ones, the latest.

    Parameters
    ----------
    keeps_weights
        Whether the weights are kept, on the CPU; one worker is enough.
    """

    def __init__(self, keeps_weights: bool) -> None:
        self.keeps_weights = keeps_weights
        self.epoch, self.metrics = 0, dict[str, Any]()
        self.weights: dict[str, Tensor] = {}
        self.score: float | None = None
        self.waited = 0

    def consider(self, model: nn.Module, epoch: int, metrics: dict[str, Any], score: float | None) -> None:
        """Take an epoch if no earlier one is better; without a score, the latest epoch is the best."""
        is_better = score is None or self.score is None or score > self.score
        self.waited = 0 if is_better else self.waited + 1
        if not is_better and score != self.score:
            return
        self.epoch, self.metrics, self.score = epoch, metrics, score
        if self.keeps_weights:
            self.weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def state(self) -> State:
        """Return what `restore` takes."""
        return {
            "epoch": self.epoch,
            "metrics": self.metrics,
            "weights": self.weights,
            "score": self.score,
            "waited": self.waited,
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self.epoch, self.metrics = int(state["epoch"]), dict(state["metrics"])
        self.score, self.waited = state["score"], int(state["waited"])
        self.weights = {n: v.cpu() for n, v in state["weights"].items()} if self.keeps_weights else {}
