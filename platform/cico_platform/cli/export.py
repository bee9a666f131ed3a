"""`cico export`: a checkpoint as a folder to publish."""

from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(help="Checkpoint of a retrieval model or a sign encoder.")],
    out: Annotated[str, typer.Option("--out", help="Folder to write; cico_model.load reads it.")],
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="safetensors (always written), onnx, openvino: the encoders as graphs. May be repeated.",
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", help="float32, or float16 for a file of half the size.")
    ] = "float32",
    report: Annotated[
        str | None, typer.Option("--report", help="report.json of 'cico evaluate', for the model card.")
    ] = None,
    dataset: Annotated[str, typer.Option("--dataset", help="What the report was measured on.")] = "",
    license: Annotated[
        str, typer.Option("--license", help="Such as apache-2.0; left to be filled in without it.")
    ] = "",
    language: Annotated[
        list[str] | None,
        typer.Option("--language", help="ISO 639 code of texts or signs (en, ase). May be repeated."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Of the model; the folder's without it.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Write a model for others: safetensors, settings, tokenizer and model card in one folder.

    With --format onnx or openvino the encoders are added as graphs, each tried beside PyTorch.
    """
    from cico_platform.cli.output import console
    from cico_platform.cli.progress import finish, make_settings
    from cico_platform.training.export import ExportSettings
    from cico_platform.training.export import export as run

    settings = make_settings(
        ExportSettings,
        formats=format or ["safetensors"],
        weights=weights,
        name=name,
        license=license,
        languages=language or [],
        dataset=dataset,
    )
    summary = run(model, out, settings, report)
    finish("export", summary, json)
    for graph in summary.details["graphs"]:
        console.print(f"{graph['file']}: {graph['difference']:.1e} apart from PyTorch", highlight=False)
    if not license:
        console.print(f"The licence in {out}/README.md is yours to fill in.", highlight=False)
