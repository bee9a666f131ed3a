"""`cico evaluate`: how well a retrieval model finds."""

from typing import Annotated

import typer


def evaluate(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    features: Annotated[str, typer.Option("--features", help="Folder that 'cico features' wrote.")],
    model: Annotated[str, typer.Option("--model", help="Checkpoint of a retrieval model.")],
    out: Annotated[str, typer.Option("--out", help="Folder to write the report into.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    html: Annotated[
        bool, typer.Option("--html/--no-html", help="Also report.html: figures, and clips of queries.")
    ] = True,
    store: Annotated[
        str, typer.Option("--store", help="Folder for this machine's copy of the features; else beside them.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Score a split: R@1, R@5, R@10, median and mean rank, both ways; a report for people and programs."""
    from rich.table import Table

    from cico_platform.cli.output import console
    from cico_platform.cli.progress import finish
    from cico_platform.evaluation.evaluate import PAGE_FILE, REPORT_FILE, EvaluationSettings
    from cico_platform.evaluation.evaluate import evaluate as run
    from cico_platform.storage import place

    summary = run(corpus, features, model, split, out, EvaluationSettings(html=html, store=store))
    finish("evaluate", summary, json)
    report = summary.details
    names = ("R@1", "R@5", "R@10", "MedR", "MeanR")
    table = Table("", *names, title=f"{split}: {report['texts']} texts, {report['videos']} videos")
    for way, title in (("t2v", "text to video"), ("v2t", "video to text")):
        cells = []
        for name in names:
            low, high = report["intervals"][way][name]
            cells.append(f"{report[way][name]:.1f} ({low:.1f}-{high:.1f})")
        table.add_row(title, *cells)
    console.print(table)
    made = place(out) / (PAGE_FILE if html else REPORT_FILE)
    console.print(f"report: {made}", markup=False, highlight=False, soft_wrap=True)
