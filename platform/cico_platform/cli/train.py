"""`cico train`: the sign encoder, and the retrieval model."""

from typing import Annotated

import typer

app = typer.Typer(help="Train the sign encoder or the retrieval model.", no_args_is_help=True)

Corpus = Annotated[str, typer.Argument(help="A corpus folder.")]
Out = Annotated[str, typer.Option("--out", help="Folder that becomes the checkpoint.")]
Init = Annotated[str | None, typer.Option("--init", help="Checkpoint to start from.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting by name, as in --set lr=0.001; may be given again."),
]
Size = Annotated[str, typer.Option(help="tiny, small or paper.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.")]
Workers = Annotated[int, typer.Option(help="Processes that train together.")]
Published = Annotated[bool, typer.Option("--published", help="The paper's settings instead of the defaults.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Seed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn at random.")]


@app.command("sign-encoder")
def sign_encoder(
    corpus: Corpus,
    out: Out,
    segments: Annotated[
        str | None, typer.Option("--segments", help="Folder of mined pseudo-labels to train on.")
    ] = None,
    init: Init = None,
    size: Size = "tiny",
    epochs: Epochs = None,
    workers: Workers = 1,
    seed: Seed = 0,
    set_: Set = None,
    published: Published = False,
    json: Json = False,
) -> None:
    """Train the sign encoder on the corpus' labelled clips, or on mined segments."""
    from cico_platform.cli.progress import finish, make_settings, progress, with_sets
    from cico_platform.training.sign_encoder import SignEncoderSettings, train_sign_encoder

    base = (
        SignEncoderSettings.published() if published else SignEncoderSettings.model_validate({"size": size})
    )
    values = with_sets(base, set_, epochs=epochs, workers=workers, seed=seed)
    with progress("train sign-encoder", unit="epochs") as advance:
        settings = make_settings(SignEncoderSettings, **values)
        summary = train_sign_encoder(corpus, out, settings, segments, init, advance)
    finish("train sign-encoder", summary, json)


@app.command("retrieval")
def retrieval(
    corpus: Corpus,
    features: Annotated[str, typer.Option("--features", help="Folder that 'cico features' wrote.")],
    out: Out,
    init: Init = None,
    size: Size = "tiny",
    epochs: Epochs = None,
    workers: Workers = 1,
    seed: Seed = 0,
    set_: Set = None,
    published: Published = False,
    json: Json = False,
) -> None:
    """Train the retrieval model on features and texts."""
    from cico_platform.cli.progress import finish, make_settings, progress, with_sets
    from cico_platform.training.retrieval import RetrievalSettings, train_retrieval

    base = RetrievalSettings.published() if published else RetrievalSettings.model_validate({"size": size})
    values = with_sets(base, set_, epochs=epochs, workers=workers, seed=seed)
    with progress("train retrieval", unit="epochs") as advance:
        settings = make_settings(RetrievalSettings, **values)
        summary = train_retrieval(corpus, features, out, settings, init, advance)
    finish("train retrieval", summary, json)
