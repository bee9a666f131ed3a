"""The `cico` command: one verb a capability, each a file of this folder."""

import sys
from typing import NoReturn

import typer

from cico_platform.cli import (
    ablate,
    bench,
    corpus,
    demo,
    doctor,
    embed,
    evaluate,
    export,
    features,
    import_weights,
    index,
    keys,
    mine,
    plan,
    reindex,
    search,
    serve,
    train,
)
from cico_platform.cli.configurable import Configurable
from cico_platform.errors import CicoError

app = typer.Typer(
    name="cico",
    help="Sign language retrieval: find the sign video that says a sentence, and the sentence a video signs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.add_typer(corpus.app, name="corpus")
app.command("mine")(mine.mine)
app.command("features")(features.features)
app.command("embed")(embed.embed)
app.command("import-weights")(import_weights.import_weights)
app.command("export")(export.export)
app.add_typer(train.app, name="train")
app.command("evaluate")(evaluate.evaluate)
app.command("ablate", cls=Configurable)(ablate.ablate)
app.add_typer(index.app, name="index")
app.command("reindex")(reindex.reindex)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.command("plan")(plan.plan)
app.add_typer(bench.app, name="bench")
app.command("doctor")(doctor.doctor)


def run() -> NoReturn:
    """Run the command; what people did wrong is told in a sentence, never as a traceback."""
    try:
        app()
    except CicoError as error:
        from cico_platform.cli.output import console

        console.print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        from cico_platform.cli.output import say

        say("stopped; the same command goes on where it was")
        sys.exit(1)
    sys.exit(0)
