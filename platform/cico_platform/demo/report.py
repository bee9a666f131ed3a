"""What the demo tells at its end: a table of the variants, three searches, the times, what to type next."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cico_platform.demo.places import Places
from cico_platform.demo.settings import VARIANTS
from cico_platform.demo.stages import DemoResult
from cico_platform.evaluation.evaluate import PAGE_FILE

FIGURES = ("R@1", "R@5", "R@10", "MedR")


def show(result: DemoResult, console: Console) -> None:
    """Print the summary for people."""
    console.print()
    if result.variants is not None:
        console.print(_variants(result, result.variants))
    for query in result.queries:
        console.print(_query(query))
    console.print(_stages(result))
    for note in result.notes:
        console.print(f"• {escape(note)}", highlight=False)
    index = _short(result.index)
    example = result.queries[0]["text"] if result.queries else "…"
    console.print(
        f"\nDone in {result.seconds / 60:.1f} minutes with at most {result.peak_memory_gib:.1f} GiB. Next:\n"
        f"  [bold]{_cico()} serve --index {escape(index)}[/bold]          the search page, in your browser\n"
        f'  [bold]{_cico()} search "{escape(example)}" --index {escape(index)}[/bold]',
        highlight=False,
    )
    if result.variants is None:
        console.print(
            "To train on drawn signers and see how well it finds: [bold]make demo[/bold]", highlight=False
        )
    else:
        report = Places(Path(index).parent).report(result.chosen) / PAGE_FILE
        console.print(
            f"How well it finds, with the best and the worst queries: {escape(str(report))}", highlight=False
        )


def _variants(result: DemoResult, figures: dict[str, dict[str, Any]]) -> Table:
    table = _table(f"{result.test_sentences} unseen test sentences", box=SIMPLE_HEAD)
    table.add_column("variant", no_wrap=True)
    for way in ("T2V", "V2T"):
        for figure in FIGURES:
            table.add_column(f"{way}\n{figure}", justify="right", no_wrap=True)
    for variant in VARIANTS:
        if variant.name not in figures:
            continue
        scores = figures[variant.name]
        cells = [f"{scores[way][figure]:.1f}" for way in ("t2v", "v2t") for figure in FIGURES]
        chosen = variant.name == result.chosen
        table.add_row(variant.title + " *" * chosen, *cells, style="bold" if chosen else None)
    table.caption = (
        "T2V: a text finds its video. V2T: a video finds its text. * chosen on the validation split"
    )
    table.caption_justify = "left"
    return table


def _query(query: dict[str, Any]) -> Table:
    table = _table(f"“{escape(query['text'])}”", box=None)
    table.add_column("found", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    for row in query["found"]:
        right = row["video_id"] == query["signed"]
        table.add_row(f"{'✓' if right else ' '} {escape(row['text'])}", f"{row['score']:.3f}")
    spans = [f"{w['word']} {w['start']:.1f}-{w['end']:.1f}" for w in query["found"][0]["words"]]
    table.caption = f"  in the first, signed at (s): {escape('  '.join(spans))}\n"
    table.caption_justify = "left"
    return table


def _table(title: str, box: Box | None) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box, padding=(0, 1, 0, 0))


def _stages(result: DemoResult) -> Table:
    table = _table("Stages", box=SIMPLE_HEAD)
    table.add_column("stage")
    for column in ("seconds", "done", "skipped", "quarantined"):
        table.add_column(column, justify="right")
    for name, summary in result.stages.items():
        counts = (summary.done, summary.skipped, summary.quarantined)
        table.add_row(name.replace("_", " "), f"{summary.seconds:.0f}", *(str(count) for count in counts))
    return table


def _cico() -> str:
    """The command as it can be typed here: by its path where it is not on the PATH."""
    return "cico" if shutil.which("cico") else _short(str(Path(sys.argv[0]).absolute()))


def _short(path: str) -> str:
    """The path as seen from here, where that is shorter."""
    relative = os.path.relpath(path, Path.cwd())
    return relative if len(relative) < len(path) else path
