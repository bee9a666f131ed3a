"""`cico mine`: pseudo-labels for the unlabelled training videos."""

from typing import Annotated

import typer


def mine(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    encoder: Annotated[str, typer.Option("--encoder", help="Checkpoint of a sign encoder.")],
    out: Annotated[str, typer.Option("--out", help="Folder to write segments.parquet into.")],
    threshold: Annotated[float, typer.Option(help="Least probability of a window's best sign.")] = 0.6,
    drop_within: Annotated[int, typer.Option(help="Frames in which a sign isn't found twice.")] = 24,
    stride: Annotated[int, typer.Option(help="Frames from one window to the next.")] = 1,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or int8.")] = "auto",
    actors: Annotated[int, typer.Option(help="Encoder processes; 0: one a GPU or node.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a clip was quarantined.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Find signs in unlabelled sentences: confident windows become labelled segments."""
    from cico_platform.cli.progress import finish, make_settings, progress
    from cico_platform.pipelines.mine import MineSettings
    from cico_platform.pipelines.mine import mine as run

    settings = make_settings(
        MineSettings,
        threshold=threshold,
        drop_within=drop_within,
        stride=stride,
        precision=precision,
        actors=actors,
    )
    with progress("mine") as advance:
        summary = run(corpus, encoder, out, settings, advance)
    finish("mine", summary, json, strict)
