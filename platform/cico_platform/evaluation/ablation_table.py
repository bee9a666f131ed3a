"""The table of an ablation, in Markdown, LaTeX and for the terminal: rows are variants, columns both ways."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

FIGURES = ("R@1", "R@5", "R@10", "MedR")
WAYS = (("t2v", "T2V"), ("v2t", "V2T"))
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
Result = dict[str, Any]


def as_markdown(result: Result) -> str:
    """One table; under each mean and deviation stands the 95% interval."""
    columns = [f"{way} {figure}" for _, way in WAYS for figure in FIGURES]
    lines = [f"**{title_of(result)}**", "", _row("", *columns), _row("---", *["---:"] * len(columns))]
    for section, rows in _sections(result):
        lines.append(_row(f"**{_plain(section)}**", *[""] * len(columns)))
        for row in rows:
            cells = [f"{middle}<br>{interval}" for middle, interval in _cells(result, row)]
            lines.append(_row(_plain(_name(result, row)), *cells))
    return "\n".join([*lines, "", note_of(result), ""])


def as_latex(result: Result) -> str:
    r"""The same as a `tabular` for a paper; it needs the package `booktabs`."""
    width = 1 + len(WAYS) * len(FIGURES)
    head = " & ".join(["", *(figure for _ in WAYS for figure in FIGURES)])
    groups = " & ".join(["", *(rf"\multicolumn{{{len(FIGURES)}}}{{c}}{{{way}}}" for _, way in WAYS)])
    lines = [f"% {title_of(result)}", rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
    lines += [rf"{groups} \\", rf"{head} \\"]
    for section, rows in _sections(result):
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_escaped(section)}}}}} \\"]
        for row in rows:
            cells = list(_cells(result, row))
            middles = [middle.replace(" ± ", r"$\,\pm\,$") for middle, _ in cells]
            intervals = [rf"{{\scriptsize {interval.replace('–', '--')}}}" for _, interval in cells]
            lines.append(rf"{' & '.join([_escaped(_name(result, row)), *middles])} \\")
            lines.append(rf"{' & '.join(['', *intervals])} \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *(f"% {line}" for line in note_of(result).splitlines()), ""])


def as_table(result: Result) -> "Table":
    """For the terminal: means and deviations, the intervals are in the files."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title_of(result), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("variant", overflow="fold")
    for _, way in WAYS:
        for figure in FIGURES:
            table.add_column(f"{way}\n{figure}", justify="right", no_wrap=True)
    for section, rows in _sections(result):
        table.add_section()
        table.add_row(f"[dim]{escape(section)}[/dim]")
        for row in rows:
            cells = [middle.replace(" ± ", "\n±") for middle, _ in _cells(result, row)]
            table.add_row(escape(_name(result, row)), *cells)
    table.caption, table.caption_justify = note_of(result), "left"
    return table


def title_of(result: Result) -> str:
    """What the table is about."""
    seeds, queries = len(result["seeds"]), result["queries"]
    return (
        f"Split '{result['split']}': {queries['t2v']} texts, {queries['v2t']} videos, "
        f"{seeds} seed{'s' if seeds > 1 else ''} each"
    )


def note_of(result: Result) -> str:
    """How to read it."""
    lines = ["T2V: a text finds its video. V2T: a video finds its text. R@k in percent, MedR a rank."]
    if len(result["seeds"]) > 1:
        lines.append("Mean ± sample deviation over seeds; 95% intervals by bootstrap over seeds and queries.")
    else:
        lines.append("95% intervals by bootstrap over queries; one seed does not tell how seeds differ.")
    if result["chosen"]:
        lines.append("* best on the validation split.")
    return "\n".join(lines)


def _sections(result: Result) -> Iterator[tuple[str, list[Result]]]:
    names = dict.fromkeys(row["section"] for row in result["rows"])
    for name in names:
        yield name, [row for row in result["rows"] if row["section"] == name]


def _cells(result: Result, row: Result) -> Iterator[tuple[str, str]]:
    """Mean with its deviation, and the interval, of each column."""
    for way, _ in WAYS:
        for figure in FIGURES:
            found = row[result["split"]][way][figure]
            low, high = found["interval"]
            middle = f"{found['mean']:.1f}" + ("" if found["sd"] is None else f" ± {found['sd']:.1f}")
            yield middle, f"{low:.1f}–{high:.1f}"


def _name(result: Result, row: Result) -> str:
    title: str = row["title"]
    return f"{title} *" if row["key"] == result["chosen"] else title


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown takes as it stands."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))


def _escaped(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))
