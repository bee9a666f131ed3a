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
    from cico_platform.cli.output import say
    from cico_platform.cli.progress import finish, progress
    from cico_platform.pipelines.indexing import build_index

    with progress("index") as advance:
        summary = build_index(corpus, features, model, index, collection, advance)
    known = summary.details["calibrations"]
    for way, one in known.items():
        say(
            f"  search by {way}: nothing fits below {one['threshold']:.0%}; of answers above, "
            f"{one['precision']:.0%} are right, and {one['recall']:.0%} of {one['queries']} queries get one"
        )
    if not known:
        say("  no probabilities: too few validation clips, or their scores tell right from wrong too badly")
    finish("index", summary, json, strict)
