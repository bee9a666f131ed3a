"""`cico features`: sign features of the windows that retrieval uses."""

from typing import Annotated

import typer


def features(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    encoder: Annotated[
        list[str], typer.Option("--encoder", help="Checkpoint of a sign encoder; a second one is mixed in.")
    ],
    out: Annotated[str, typer.Option("--out", help="Folder to write the features into.")],
    alpha: Annotated[float, typer.Option(help="Share of the first encoder.")] = 0.8,
    reuse: Annotated[
        list[str] | None,
        typer.Option(
            "--reuse", help="Output of 'cico mine' or 'cico features': features to take from there."
        ),
    ] = None,
    stride: Annotated[int, typer.Option(help="Frames from one window to the next.")] = 1,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or int8.")] = "auto",
    actors: Annotated[int, typer.Option(help="Encoder processes; 0: one a GPU or node.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a clip was quarantined.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Extract sign features of every sentence clip, with one or two encoders."""
    from cico_platform.cli.progress import finish, make_settings, progress
    from cico_platform.pipelines.features import FeatureSettings, extract_features

    settings = make_settings(FeatureSettings, stride=stride, precision=precision, actors=actors)
    with progress("features") as advance:
        summary = extract_features(corpus, list(encoder), alpha, out, settings, advance, reuse or [])
    finish("features", summary, json, strict)
