"""`cico train`: the sign encoder, and the retrieval model."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from cico_platform.settings import Settings

app = typer.Typer(help="Train the sign encoder or the retrieval model.", no_args_is_help=True)

Corpus = Annotated[str, typer.Argument(help="A corpus folder.")]
Out = Annotated[str, typer.Option("--out", help="Folder that becomes the checkpoint.")]
Init = Annotated[str | None, typer.Option("--init", help="Checkpoint to start from.")]
Config = Annotated[
    str | None, typer.Option("--config", help="A YAML file of settings; options and --set go over it.")
]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="Write the settings as YAML, a file for --config, and do nothing."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting by name, as in --set lr=0.001; may be given again."),
]
Size = Annotated[str | None, typer.Option(help="tiny, small or paper.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.")]
Workers = Annotated[int | None, typer.Option(help="Processes that train together.")]
Published = Annotated[bool, typer.Option("--published", help="The paper's settings instead of the defaults.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of everything that is drawn at random.")]


class Configurable(TyperCommand):
    """A command that needs no arguments where it only prints its settings."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click does."""
        if "--print-config" in args:
            for parameter in self.params:
                parameter.required = False
        return super().parse_args(ctx, args)


def print_settings(verb: str, settings: "Settings") -> None:
    """Write settings to standard output, as a file for `--config`."""
    from cico_platform.config_files import as_yaml

    typer.echo(as_yaml(settings, f"settings of: cico {verb} --config FILE"), nl=False)


@app.command("sign-encoder", cls=Configurable)
def sign_encoder(
    corpus: Corpus,
    out: Out,
    segments: Annotated[
        str | None, typer.Option("--segments", help="Folder of mined pseudo-labels to train on.")
    ] = None,
    init: Init = None,
    size: Size = None,
    epochs: Epochs = None,
    workers: Workers = None,
    seed: Seed = None,
    config: Config = None,
    set_: Set = None,
    published: Published = False,
    print_config: PrintConfig = False,
    json: Json = False,
) -> None:
    """Train the sign encoder on the corpus' labelled clips, or on mined segments."""
    from cico_platform.cli.progress import finish, progress
    from cico_platform.config_files import read_config, resolve
    from cico_platform.training.sign_encoder import SignEncoderSettings, train_sign_encoder

    base = SignEncoderSettings.published() if published else SignEncoderSettings()
    file = None if config is None else read_config(config)
    settings = resolve(base, file, set_, size=size, epochs=epochs, seed=seed, **{"run.workers": workers})
    if print_config:
        print_settings("train sign-encoder", settings)
        return
    with progress("train sign-encoder", unit="steps") as advance:
        summary = train_sign_encoder(corpus, out, settings, segments, init, advance)
    finish("train sign-encoder", summary, json)


@app.command("retrieval", cls=Configurable)
def retrieval(
    corpus: Corpus,
    features: Annotated[str, typer.Option("--features", help="Folder that 'cico features' wrote.")],
    out: Out,
    init: Init = None,
    size: Size = None,
    epochs: Epochs = None,
    workers: Workers = None,
    seed: Seed = None,
    config: Config = None,
    set_: Set = None,
    published: Published = False,
    print_config: PrintConfig = False,
    json: Json = False,
) -> None:
    """Train the retrieval model on features and texts."""
    from cico_platform.cli.progress import finish, progress
    from cico_platform.config_files import read_config, resolve
    from cico_platform.training.retrieval import RetrievalSettings, train_retrieval

    base = RetrievalSettings.published() if published else RetrievalSettings()
    file = None if config is None else read_config(config)
    settings = resolve(base, file, set_, size=size, epochs=epochs, seed=seed, **{"run.workers": workers})
    if print_config:
        print_settings("train retrieval", settings)
        return
    with progress("train retrieval", unit="steps") as advance:
        summary = train_retrieval(corpus, features, out, settings, init, advance)
    finish("train retrieval", summary, json)
