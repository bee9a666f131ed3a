"""A reproduction from end to end: steps one after another, then the table of ours beside the published."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cico_platform.cluster import connect
from cico_platform.errors import InputError
from cico_platform.observability.stage_display import StageDisplay
from cico_platform.reproduce.differences import differences
from cico_platform.reproduce.recipes import Recipe
from cico_platform.reproduce.settings import ReproduceSettings
from cico_platform.reproduce.sources import Missing, Sources, find_sources
from cico_platform.reproduce.steps import NOT_ADAPTED, Chain
from cico_platform.reproduce.table import ResultTable, as_markdown, make_table
from cico_platform.reproduce.weights import Weights, find_weights
from cico_platform.steps import Summary, write_json
from cico_platform.storage import Place, absolute_place, write_whole

RESULT_FILE, TABLE_FILE, MARKDOWN_FILE = "reproduction.json", "table.json", "table.md"


@dataclass
class Reproduction:
    """Result of a reproduction: each step's summary, and the table."""

    table: ResultTable
    home: Place
    steps: dict[str, Summary] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The result as one JSON object."""
        counts = ("done", "skipped", "quarantined")
        steps = {
            name: {count: getattr(summary, count) for count in (*counts, "seconds")}
            for name, summary in self.steps.items()
        }
        totals = {count: sum(step[count] for step in steps.values()) for count in counts}
        table = {"table": self.table.as_json(), "folder": str(self.home)}
        return {"steps": steps, **table, **totals, "seconds": self.seconds}


def open_chain(
    recipe: Recipe, root: str | Place, weights: str | Place, home: Place, settings: ReproduceSettings
) -> tuple[Chain, list[Missing]]:
    """Find the files of a recipe; returns its steps' inputs and what is missing.

    Raises
    ------
    InputError
        If the folder of weights holds several of what must be one.
    """
    sources = find_sources(recipe, root, settings.texts)
    found = find_weights(weights)
    return Chain(recipe, settings, sources, found, absolute_place(home)), _missing(sources, found)


def reproduce(
    chain: Chain, missing: Sequence[Missing], display: StageDisplay, address: str | None = None
) -> Reproduction:
    """Run all steps, or go on with them, and write the table into the chain's folder.

    Parameters
    ----------
    missing
        From `open_chain`.
    address
        Of a Ray cluster to join; None is that of the environment, or one that is started here.

    Raises
    ------
    InputError
        If files are missing that are needed: all are named.
    """
    check_needed(chain.recipe, missing)
    if address is not None:
        connect(address)
    began = time.monotonic()
    steps: dict[str, Summary] = {}
    for step in chain.steps():
        with display.stage(step.title) as (advance, finish):
            summary = step.run(advance)
            finish(summary)
        steps[step.name], chain.told[step.name] = summary, summary.details
    table = table_of(chain)
    result = Reproduction(table, chain.home, steps, round(time.monotonic() - began, 1))
    write_json(chain.home / TABLE_FILE, table.as_json())
    write_whole(chain.home / MARKDOWN_FILE, as_markdown(table).encode())
    write_json(chain.home / RESULT_FILE, result.as_json())
    return result


def check_needed(recipe: Recipe, missing: Sequence[Missing]) -> None:
    """Refuse to begin without the files that are needed.

    Raises
    ------
    InputError
        Naming all of them.
    """
    needed = [f"{file.what} ({file.where})" for file in missing if file.needed]
    if needed:
        listed = "\n".join(f"  - {file}" for file in needed)
        raise InputError(f"{recipe.title} cannot be reproduced without:\n{listed}")


def table_of(chain: Chain) -> ResultTable:
    """The table of a chain whose steps are finished."""
    corpus, trained, report = (chain.told[name] for name in ("corpus", "train", "evaluate"))
    scored = {name: report[name] for name in ("texts", "videos")}
    notes = [] if chain.adapted else [f"Features are those of the domain-agnostic encoder: {NOT_ADAPTED}."]
    notes += [*differences(chain.recipe, chain.settings, chain.sources, corpus, scored), *chain.sources.notes]
    seeds = [row["seed"] for row in trained["seeds"]]
    return make_table(chain.recipe, scored, trained["spread"]["test"], seeds, notes)


def _missing(sources: Sources, weights: Weights) -> list[Missing]:
    return [*weights.missing, *sources.missing]
