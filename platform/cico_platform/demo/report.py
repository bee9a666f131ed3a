"""What the demo tells at its end: a table of the variants, three searches, the times, what to type next."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cico_platform.demo.run import DemoResult
from cico_platform.demo.settings import VARIANTS

FIGURES = ("R@1", "R@5", "R@10", "MedR")


def show(result: DemoResult, console: Console) -> None:
    """Print the summary for people."""
    console.print()
    console.print(_variants(result))
    for query in result.queries:
        console.print(_query(query))
    console.print(_stages(result))
    for note in result.notes:
        console.print(f"• {escape(note)}", highlight=False)
    index = _short(result.index)
    example = result.queries[0]["text"] if result.queries else "…"
    console.print(
        f"\nDone in {result.seconds / 60:.1f} minutes with at most {result.peak_memory_gib:.1f} GiB. Next:\n"
        f"  [bold]cico serve --index {escape(index)}[/bold]          the search page, in your browser\n"
        f'  [bold]cico search "{escape(example)}" --index {escape(index)}[/bold]',
        highlight=False,
    )


def _variants(result: DemoResult) -> Table:
    table = Table(title=f"{result.test_sentences} unseen test sentences", title_justify="left")
    table.add_column("variant")
    for way in ("text → video", "video → text"):
        for figure in FIGURES:
            table.add_column(f"{way}\n{figure}" if figure == "R@1" else f"\n{figure}", justify="right")
    for variant in VARIANTS:
        scores = result.variants[variant.name]
        figures = [f"{scores[way][figure]:.1f}" for way in ("t2v", "v2t") for figure in FIGURES]
        best = variant.name == result.chosen
        name = f"{variant.title} (chosen on validation)" if best else variant.title
        table.add_row(name, *figures, style="bold" if best else None)
    return table


def _query(query: dict[str, Any]) -> Table:
    table = Table(title=f"“{escape(query['text'])}”", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("found", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("words and when they are signed (s)", overflow="fold")
    for row in query["found"]:
        words = "  ".join(f"{w['word']} {w['start']:.1f}-{w['end']:.1f}" for w in row["words"])
        right = row["video_id"] == query["signed"]
        table.add_row(f"{'✓' if right else ' '} {escape(row['text'])}", f"{row['score']:.3f}", escape(words))
    return table


def _stages(result: DemoResult) -> Table:
    table = Table(title="Stages", title_justify="left")
    table.add_column("stage")
    for column in ("seconds", "done", "skipped", "quarantined"):
        table.add_column(column, justify="right")
    for name, summary in result.stages.items():
        counts = (summary.done, summary.skipped, summary.quarantined)
        table.add_row(name.replace("_", " "), f"{summary.seconds:.0f}", *(str(count) for count in counts))
    return table


def _short(path: str) -> str:
    """The path as seen from here, where that is shorter."""
    relative = os.path.relpath(path, Path.cwd())
    return relative if len(relative) < len(path) else path
