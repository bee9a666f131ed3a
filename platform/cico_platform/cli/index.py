"""`cico index`: make a corpus searchable, and forget what must be forgotten."""

from dataclasses import asdict
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from cico_platform.cli.qdrant_options import Qdrant

BUILD = "build"
Index = Annotated[str, typer.Option("--index", help="Folder of an index, or URL of a Qdrant server.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


class BuildByDefault(TyperGroup):
    """`cico index CORPUS …` is `cico index build CORPUS …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the verb in where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [BUILD, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=BuildByDefault,
    no_args_is_help=True,
    help="Make a corpus searchable: cico index CORPUS --features DIR --model DIR --index PATH_OR_URL.",
)


@app.command(BUILD)
def build(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    features: Annotated[str, typer.Option("--features", help="Folder that 'cico features' wrote.")],
    model: Annotated[str, typer.Option("--model", help="Checkpoint of a retrieval model.")],
    index: Index,
    collection: Annotated[str, typer.Option(help="Name that people search under.")] = "clips",
    quantize: Annotated[
        str,
        typer.Option(
            help="How tokens are kept: none (half precision), scalar (8 bits a number), product (2 bits)."
        ),
    ] = "none",
    merge: Annotated[int, typer.Option(min=1, help="Neighbouring tokens that become one.")] = 1,
    even_forgotten: Annotated[
        bool, typer.Option("--even-forgotten", help="Take clips that were to be forgotten, too.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a clip was quarantined.")] = False,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that embed and write; 0: one a GPU, or up to four a node.")
    ] = 0,
    qdrant: Qdrant = None,
    json: Json = False,
) -> None:
    """Embed the clips; with the live collection's models only what changed, else into a new one.

    `build` may be left out: cico index CORPUS …
    """
    from cico_platform.cli.output import say
    from cico_platform.cli.progress import finish, progress
    from cico_platform.index.token_storage import TokenStorage
    from cico_platform.pipelines.indexing import build_index

    storage = TokenStorage(cast(Any, quantize), merge)
    with progress("index") as advance:
        summary = build_index(
            corpus,
            features,
            model,
            index,
            collection,
            advance,
            storage=storage,
            even_forgotten=even_forgotten,
            workers=workers,
        )
    known = summary.details["calibrations"]
    for way, one in known.items():
        say(
            f"  search by {way}: nothing fits below {one['threshold']:.0%}; of answers above, "
            f"{one['precision']:.0%} are right, and {one['recall']:.0%} of {one['queries']} queries get one"
        )
    if not known:
        say("  no probabilities: too few validation clips, or their scores tell right from wrong too badly")
    finish("index", summary, json, strict)


@app.command("migrate")
def migrate(index: Index, qdrant: Qdrant = None, json: Json = False) -> None:
    """Copy the collections of an index that the version before made into today's layout.

    Videos are not needed; the retrieval models of the index encode its texts. Stop a service that answers
    from the index first.
    """
    from cico_platform.cli.output import emit, say
    from cico_platform.index.base import open_index
    from cico_platform.index.migration import migrate
    from cico_platform.pipelines.index_texts import write_texts

    with open_index(index, must_exist=True) as opened:
        done = migrate(
            opened,
            lambda index, info: write_texts(index, info).texts,
            lambda name, clips: say(f"  {name}: {clips} clips are copied"),
        )
    if done.collections:
        say(f"copied: {done.clips} clips, into {', '.join(done.collections.values())}")
    else:
        say("nothing to copy: no alias names a collection of an earlier version")
    emit(json, {"index": index, **asdict(done)})


@app.command("forget")
def forget(
    index: Index,
    signer: Annotated[
        str | None,
        typer.Option("--signer", help="Forget all clips that show this person, in all collections."),
    ] = None,
    video: Annotated[
        list[str] | None, typer.Option("--video", help="Forget the clip of this id; may be given again.")
    ] = None,
    grace: Annotated[
        float,
        typer.Option(min=0, help="Seconds that services get to leave the old collections of a server."),
    ] = 10.0,
    feedback: Annotated[
        list[str] | None,
        typer.Option(
            "--feedback",
            help="File or folder of feedback (service.feedback) to clear of these clips; may be given again.",
        ),
    ] = None,
    qdrant: Qdrant = None,
    json: Json = False,
) -> None:
    """Remove every trace of a signer or of clips from an index, on disk too, and show that they are gone.

    With --feedback, judgements of these clips are removed from files that the service wrote, too.
    """
    from cico_platform.cli.output import emit, say
    from cico_platform.index.base import is_url, open_index
    from cico_platform.index.feedback_files import feedback_files, withdraw
    from cico_platform.index.forgetting import as_json, forget, forgotten

    feedback_files(feedback or [])  # what is not there is said before anything is removed
    withdrawn = None
    with open_index(index, must_exist=True) as opened:
        proof = forget(opened, signer=signer, video_ids=video or [], grace=grace if is_url(index) else 0.0)
        if feedback:
            is_gone = forgotten(opened)
            withdrawn = withdraw(feedback, lambda video_id: is_gone(video_id, ()))
    say(f"forgotten: {proof.clips} clips; written anew: {', '.join(proof.rewritten.values()) or 'nothing'}")
    if proof.files is not None:
        say(
            f"searched {proof.files} files for {proof.searched_for} names, ids and vectors: "
            f"{proof.found_before} were there before, {proof.found_after} are now"
        )
    if withdrawn is None:
        say("[dim]files of feedback may still name these clips: --feedback PATH clears them[/dim]")
        emit(json, as_json(proof))
        return
    say(
        f"removed from {withdrawn.files} files of feedback: {withdrawn.lines} judgements of forgotten clips, "
        f"{withdrawn.unreadable} lines that are no judgements"
    )
    emit(json, {**as_json(proof), "feedback": withdrawn._asdict()})
