"""`cico embed`: the tokens of the video tower, stored."""

from typing import Annotated

import typer


def embed(
    features: Annotated[str, typer.Argument(help="Folder that 'cico features' wrote.")],
    model: Annotated[str, typer.Option("--model", help="Checkpoint of a retrieval model.")],
    out: Annotated[str, typer.Option("--out", help="Folder to write the tokens into.")],
    actors: Annotated[int, typer.Option(help="Processes; 0: one a GPU or node.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Store what the retrieval model compares with words, one vector a window ('cico index' needs none)."""
    from cico_platform.cli.progress import finish, make_settings, progress
    from cico_platform.pipelines.embed import embed as run
    from cico_platform.pipelines.encoders import EncodingSettings

    with progress("embed", "videos") as advance:
        summary = run(features, model, out, make_settings(EncodingSettings, actors=actors), advance)
    finish("embed", summary, json)
