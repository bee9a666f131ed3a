"""`cico index`: make a corpus searchable."""

from typing import Annotated

import typer


def index(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    features: Annotated[str, typer.Option("--features", help="Folder that 'cico features' wrote.")],
    model: Annotated[str, typer.Option("--model", help="Checkpoint of a retrieval model.")],
    index: Annotated[str, typer.Option("--index", help="Folder of an index, or URL of a Qdrant server.")],
    collection: Annotated[str, typer.Option(help="Name that people search under.")] = "clips",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a clip was quarantined.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Embed the clips and write them into a new collection, which then goes live."""
    from cico_platform.cli.progress import finish, progress
    from cico_platform.pipelines.indexing import build_index

    with progress("index") as advance:
        summary = build_index(corpus, features, model, index, collection, advance)
    finish("index", summary, json, strict)
