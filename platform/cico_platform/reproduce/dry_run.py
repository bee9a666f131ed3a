"""A reproduction on paper: its steps, what they cost, and the files that are missing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cico_platform.pipelines.device_rates import Rate
from cico_platform.pipelines.mine import read_segments
from cico_platform.reproduce.costs import RecipeCosts, recipe_costs
from cico_platform.reproduce.costs_table import costs_table
from cico_platform.reproduce.sources import Missing
from cico_platform.reproduce.steps import Chain, Step

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class DryRun:
    """What a reproduction would do.

    Attributes
    ----------
    rows
        Sentences of each split whose video is there; empty where the published sizes were taken.
    """

    title: str
    folder: str
    steps: Sequence[Step]
    costs: RecipeCosts
    missing: Sequence[Missing]
    rows: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        steps = [
            {
                "name": step.name,
                "title": step.title,
                "finished": step.is_finished,
                **{name: value for name, value in asdict(self.costs.of(step.name)).items() if name != "name"},
            }
            for step in self.steps
        ]
        return {
            **self.costs.as_json(),
            "recipe": self.title,
            "folder": self.folder,
            "rows": self.rows,
            "steps": steps,
            "missing": [asdict(file) for file in self.missing],
        }

    def as_rich(self) -> "Table":
        """The steps for the terminal."""
        listed = [
            (step.name, "finished" if step.is_finished else "", self.costs.of(step.name))
            for step in self.steps
        ]
        return costs_table(f"{self.title}, in {self.folder}", self.costs, listed)


def dry_run(chain: Chain, missing: Sequence[Missing], rate: Rate, devices: int) -> DryRun:
    """Say what `reproduce` would do; nothing is written."""
    rows = chain.sources.rows
    mined = len(read_segments(chain.segments)) if chain.is_mined else None
    costs = recipe_costs(chain.recipe, chain.settings, rate, devices, rows or None, mined)
    return DryRun(chain.recipe.title, str(chain.home), chain.steps(), costs, missing, rows)
