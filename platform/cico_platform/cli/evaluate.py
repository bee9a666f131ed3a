"""`cico evaluate`: how well a retrieval model finds, and what people said of its results."""

from typing import Annotated, Any

import typer


def evaluate(
    corpus: Annotated[
        str | None, typer.Argument(help="A corpus folder; not needed for --feedback alone.")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Folder that 'cico features' wrote.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Checkpoint of a retrieval model.")] = None,
    out: Annotated[str | None, typer.Option("--out", help="Folder to write the report into.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    feedback: Annotated[
        list[str] | None,
        typer.Option(
            "--feedback", help="File or folder of feedback that the service wrote; may be given again."
        ),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html/--no-html", help="Also report.html: figures, and clips of queries.")
    ] = True,
    store: Annotated[
        str, typer.Option("--store", help="Folder for this machine's copy of the features; else beside them.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Score a split: R@1, R@5, R@10, median and mean rank, DCG@10, both ways; a report for all readers.

    With --feedback, tell how many of the results that people have judged were right.
    """
    from cico_platform.cli.output import emit
    from cico_platform.cli.progress import finish
    from cico_platform.errors import InputError
    from cico_platform.evaluation.evaluate import EvaluationSettings
    from cico_platform.evaluation.evaluate import evaluate as run
    from cico_platform.evaluation.feedback import feedback_report

    judged = feedback_report(feedback) if feedback else None
    if corpus is None:
        if judged is None or features or model or out:
            raise InputError("name the corpus: cico evaluate CORPUS --features DIR --model DIR --out DIR")
        _show_feedback(judged)
        emit(json, {"feedback": judged})
        return
    missing = [f"--{name}" for name, value in _named(features, model, out) if value is None]
    if missing or features is None or model is None or out is None:
        raise InputError(
            f"give {', '.join(missing)}: cico evaluate CORPUS --features DIR --model DIR --out DIR"
        )
    summary = run(corpus, features, model, split, out, EvaluationSettings(html=html, store=store))
    if judged is not None:
        summary.details["feedback"] = judged
    finish("evaluate", summary, json)
    _show_report(summary.details, split, out, html)
    if judged is not None:
        _show_feedback(judged)


def _named(*values: str | None) -> list[tuple[str, str | None]]:
    return list(zip(("features", "model", "out"), values, strict=True))


def _show_report(report: dict[str, Any], split: str, out: str, html: bool) -> None:
    from rich.table import Table

    from cico_platform.cli.output import console
    from cico_platform.evaluation.evaluate import PAGE_FILE, REPORT_FILE
    from cico_platform.evaluation.report import main_row
    from cico_platform.storage import place

    title = f"{split}: {report['texts']} texts, {report['videos']} videos"
    table = Table("", *(name for name, _, _ in main_row(report, "t2v")), title=title)
    for way, direction in (("t2v", "text to video"), ("v2t", "video to text")):
        cells = [f"{value:.1f} ({low:.1f}-{high:.1f})" for _, value, (low, high) in main_row(report, way)]
        table.add_row(direction, *cells)
    console.print(table)
    made = place(out) / (PAGE_FILE if html else REPORT_FILE)
    console.print(f"report: {made}", markup=False, highlight=False, soft_wrap=True)


def _show_feedback(judged: dict[str, Any]) -> None:
    from rich.table import Table

    from cico_platform.cli.output import console

    names = ("P@1", "P@5", "P@10", "DCG@10", "NDCG@10")
    title = f"feedback: {judged['used']} judgements of {judged['lines']} lines"
    table = Table("searched by", "searches", "judged", "right", *names, title=title)
    for kind in ("text", "video", "clip"):
        if kind in judged:
            found = judged[kind]
            cells = ["-" if found[name] is None else f"{found[name]:.1f}" for name in names]
            table.add_row(kind, *(str(found[name]) for name in ("searches", "judged", "right")), *cells)
    console.print(table)
    for reason, count in judged["unusable"].items():
        console.print(f"not used: {count} lines ({reason})", markup=False, highlight=False)
