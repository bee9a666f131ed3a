"""`cico demo`: from sign videos to a searchable index, all of it, on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    work_dir: Annotated[Path, typer.Option("--work-dir", help="Folder of everything that it makes.")] = Path(
        "demo"
    ),
    videos: Annotated[
        Path | None, typer.Option("--videos", help="Your own clips: the folder they are in.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Your own clips: a table with the columns file and text (or word)."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Train nothing: pretrained models index some drawn clips, in minutes."),
    ] = False,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Train the first sign encoder, too, on a drawn dictionary."),
    ] = False,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="Sign encoder to start from, instead of the pretrained one."),
    ] = None,
    variants: Annotated[
        str, typer.Option("--variants", help="default: two variants of the method; all: four.")
    ] = "default",
    serve: Annotated[bool, typer.Option("--serve", help="Go on to serve the search page.")] = False,
    port: Annotated[int, typer.Option("--port", help="Of the search page.")] = 8000,
    small: Annotated[
        bool, typer.Option("--small", help="Few clips, few epochs: how it goes in two minutes, not how well.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the corpus and of every training.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Take sign videos to a searchable index: synthetic ones, or your own.

    Draws a sign corpus (or reads your clips), starts from a pretrained sign encoder, adapts it by
    pseudo-labels, trains the retrieval model, scores it on unseen sentences and indexes the videos. Stop it
    whenever you like: the same command goes on where it was.
    """
    from cico_platform.cli.output import console, emit
    from cico_platform.cli.progress import make_settings
    from cico_platform.demo.report import show
    from cico_platform.demo.run import count_stages, run_demo
    from cico_platform.demo.settings import DemoSettings
    from cico_platform.observability.stage_display import StageDisplay

    settings = make_settings(
        DemoSettings,
        work_dir=work_dir,
        videos=videos,
        labels=labels,
        encoder=encoder,
        quick=quick,
        from_scratch=from_scratch,
        variants=variants,
        seed=seed,
        small=small,
    )
    with StageDisplay(console, count_stages(settings)) as display:
        result = run_demo(settings, display)
    show(result, console)
    emit(json, result.as_json())
    if serve:
        from cico_platform.serving.app import serve_index

        serve_index(result.index, port=port)
