"""`cico reindex`: a new model or corpus goes live without a moment's pause, and back."""

from typing import Annotated

import typer

from cico_platform.cli.qdrant_options import Qdrant


def reindex(
    corpus: Annotated[str, typer.Argument(help="A corpus folder; not with --rollback.")] = "",
    model: Annotated[str, typer.Option("--model", help="Checkpoint of a retrieval model.")] = "",
    index: Annotated[
        str, typer.Option("--index", help="Folder of an index, or URL of a Qdrant server.")
    ] = "",
    features: Annotated[
        str,
        typer.Option("--features", help="Folder of features; else the live collection's."),
    ] = "",
    collection: Annotated[str, typer.Option(help="Name that people search under.")] = "clips",
    probes: Annotated[
        int, typer.Option("--probes", min=0, max=200, help="Texts that old and new are compared by.")
    ] = 100,
    min_kept: Annotated[
        float,
        typer.Option(
            "--min-kept", min=0, max=1, help="Share of what the old one finds that the new one must find."
        ),
    ] = 0.9,
    quantize: Annotated[
        str, typer.Option(help="How tokens are kept, as in 'cico index'; else as the live one's.")
    ] = "",
    merge: Annotated[int, typer.Option(min=0, help="Neighbouring tokens that become one; 0: as live.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Go live even if it finds less.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="As in 'cico index'.")] = 0,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Make the one before live again; once more: forward again.")
    ] = False,
    qdrant: Qdrant = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Build a new collection beside the live one, compare them, and move to it at once."""
    from cico_platform.cli.output import emit, say
    from cico_platform.cli.progress import finish, progress
    from cico_platform.errors import InputError

    if not index:
        raise InputError("name the index: --index PATH_OR_URL (the demo's is demo/index)")
    if rollback:
        from cico_platform.index.base import open_index
        from cico_platform.index.writer import roll_back

        with open_index(index, must_exist=True) as opened:
            live = roll_back(opened, collection)
        say(f"live again: {live}")
        emit(json, {"collection": live, "index": index})
        return
    if not corpus or not model:
        raise InputError("name a corpus and --model DIR, or --rollback to go back to the collection before")
    from cico_platform.pipelines.indexing import Check, reindex

    check = Check(probes, min_kept, force)
    with progress("reindex") as advance:
        summary = reindex(
            corpus,
            features or None,
            model,
            index,
            collection,
            check,
            advance,
            quantize or None,
            merge or None,
            workers,
        )
    compared = summary.details.get("probes")
    if isinstance(compared, dict) and compared["probes"]:
        say(
            f"among its first ten, the old collection finds {compared['recall_before']:.0%} of "
            f"{compared['probes']} texts, the new one {compared['recall_now']:.0%}"
        )
    finish("reindex", summary, json)
