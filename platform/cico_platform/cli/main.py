"""The `cico` command: one verb a capability, each a file of this folder."""

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
    reproduce,
    search,
    serve,
    train,
)
from cico_platform.cli.configurable import Configurable
from cico_platform.cli.entry import run

__all__ = ["app", "run"]

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
app.command("reproduce", cls=Configurable)(reproduce.reproduce)
app.add_typer(index.app, name="index")
app.command("reindex")(reindex.reindex)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.command("plan")(plan.plan)
app.add_typer(bench.app, name="bench")
app.command("doctor")(doctor.doctor)
