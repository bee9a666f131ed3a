"""The table of a reproduction: our figures beside the published ones, for programs, people and papers."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cico_platform.reproduce.figures import DIRECTIONS, METHODS
from cico_platform.reproduce.recipes import Recipe

if TYPE_CHECKING:
    from rich.table import Table

METRICS = ("R@1", "R@5", "R@10", "MedR")
SHOWN = METRICS[:3]
NOTHING = "–"


@dataclass(frozen=True)
class Figure:
    """A figure: its value, and of a mean over seeds the sample deviation and the 95% interval."""

    value: float
    sd: float | None = None
    interval: tuple[float, float] | None = None

    def told(self, name: str) -> str:
        """In words: one decimal, the deviation behind it.

        >>> Figure(56.62, 0.31).told("R@1"), Figure(1.0).told("MedR")
        ('56.6 ± 0.3', '1')
        """
        value = f"{self.value:.1f}".removesuffix(".0") if name == "MedR" else f"{self.value:.1f}"
        return value if self.sd is None else f"{value} ± {self.sd:.1f}"


@dataclass(frozen=True)
class ResultRow:
    """A row: a method, its source, and its figures by direction and metric, as far as they are known."""

    method: str
    source: str
    published: bool
    t2v: dict[str, Figure] = field(default_factory=dict)
    v2t: dict[str, Figure] = field(default_factory=dict)

    def figure(self, direction: str, metric: str) -> Figure | None:
        """One figure, where it is known."""
        return (self.t2v if direction == "t2v" else self.v2t).get(metric)


@dataclass(frozen=True)
class ResultTable:
    """The rows, and the notes that belong to them."""

    corpus: str
    texts: int
    videos: int
    rows: Sequence[ResultRow]
    notes: Sequence[str]

    @property
    def title(self) -> str:
        """What the figures are of."""
        return f"{self.corpus}, test: {self.texts} texts, {self.videos} videos"

    def as_json(self) -> dict[str, Any]:
        """The table as plain data."""
        return asdict(self)


def make_table(
    recipe: Recipe, size: dict[str, int], spread: dict[str, Any], seeds: Sequence[int], notes: Sequence[str]
) -> ResultTable:
    """Join our figures with the published ones.

    Parameters
    ----------
    size
        `texts` and `videos` of the test split.
    spread
        Of the test split, as `train_seeds` tells it: by direction and metric `mean`, `sd`, `interval`.
    seeds
        Of our trainings.
    notes
        What differs from the published procedure.
    """
    rows = list(_published(recipe))
    ours = {
        direction: {
            name: Figure(found["mean"], found["sd"], (found["interval"][0], found["interval"][1]))
            for name, found in spread[direction].items()
        }
        for direction in DIRECTIONS
    }
    trained = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    name = f"ours, mean of {trained}" if len(seeds) > 1 else f"ours, {trained}"
    rows.append(ResultRow(name, "this reproduction", False, ours["t2v"], ours["v2t"]))
    return ResultTable(recipe.title, size["texts"], size["videos"], rows, [*notes, *_sources()])


def _published(recipe: Recipe) -> Iterator[ResultRow]:
    for method in METHODS:
        known = method.r1.get(recipe.name, {})
        t2v, v2t = ({"R@1": Figure(known[way])} if way in known else {} for way in DIRECTIONS)
        yield ResultRow(method.name, method.paper, True, t2v, v2t)


def _sources() -> Iterator[str]:
    """Where the published figures come from, and which are left out."""
    for method in METHODS:
        if method.checked_in:
            yield f"{method.name}: {method.paper}; R@1 as in {method.checked_in}."
        if method.left_out:
            yield f"{method.name}: {method.left_out}, and are left out."


def as_markdown(table: ResultTable) -> str:
    """The table and its notes in Markdown."""
    columns = [f"{way.upper()} {name}" for way in DIRECTIONS for name in METRICS]
    lines = [f"**{table.title}**", "", _line("", *columns), _line("---", *["---:"] * len(columns))]
    lines += [_line(row.method, *_cells(row)) for row in table.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes), ""])


def as_rich(table: ResultTable) -> "Table":
    """The table for the terminal: without median ranks, and with deviations of R@1 alone."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(title=table.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("", no_wrap=True)
    for way in DIRECTIONS:
        for name in SHOWN:
            shown.add_column(f"{way.upper()}\n{name}", justify="right", no_wrap=True)
    for row in table.rows:
        cells = [
            cell if name == "R@1" else cell.partition(" ")[0]
            for cell, name in zip(_cells(row, SHOWN), SHOWN * len(DIRECTIONS), strict=True)
        ]
        shown.add_row(row.method, *cells, style=None if row.published else "bold")
    return shown


def _cells(row: ResultRow, metrics: Sequence[str] = METRICS) -> list[str]:
    found = [(row.figure(way, name), name) for way in DIRECTIONS for name in metrics]
    return [NOTHING if figure is None else figure.told(name) for figure, name in found]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
