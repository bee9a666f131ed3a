"""`cico train`: the sign encoder, and the retrieval model."""

from typing import Annotated, Any

import typer

from cico_platform.cli.configurable import Config, Configurable, PrintConfig, Set, print_settings

app = typer.Typer(help="Train the sign encoder or the retrieval model.", no_args_is_help=True)

Corpus = Annotated[str, typer.Argument(help="A corpus folder.")]
Out = Annotated[str, typer.Option("--out", help="Folder that becomes the checkpoint.")]
Init = Annotated[str | None, typer.Option("--init", help="Checkpoint to start from.")]
Size = Annotated[str | None, typer.Option(help="tiny, small or paper.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.")]
Workers = Annotated[int | None, typer.Option(help="Processes that train together.")]
Published = Annotated[bool, typer.Option("--published", help="The paper's settings instead of the defaults.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of everything that is drawn at random.")]


@app.command("sign-encoder", cls=Configurable)
def sign_encoder(
    corpus: Corpus,
    out: Out,
    segments: Annotated[
        str | None, typer.Option("--segments", help="Folder of mined pseudo-labels to train on.")
    ] = None,
    init: Init = None,
    samples: Annotated[
        str | None,
        typer.Option(
            "--samples", help="Keep the frames of all segments in this folder or URL, for later trainings."
        ),
    ] = None,
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
    options = {"size": size, "epochs": epochs, "run.workers": workers, "seed": seed}
    settings = resolve(base, file, set_, options)
    if print_config:
        print_settings("train sign-encoder", settings)
        return
    with progress("train sign-encoder", unit="steps") as advance:
        summary = train_sign_encoder(corpus, out, settings, segments, init, advance, samples=samples)
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
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="Train so many seeds, each into a folder of --out of its own."),
    ] = None,
    evaluate_split: Annotated[
        str | None, typer.Option("--evaluate-split", help="With --seeds: score this split, too.")
    ] = None,
    json: Json = False,
) -> None:
    """Train the retrieval model on features and texts."""
    from cico_platform.cli.progress import finish, progress
    from cico_platform.config_files import read_config, resolve
    from cico_platform.errors import InputError
    from cico_platform.evaluation.seeds import train_seeds
    from cico_platform.training.retrieval import RetrievalSettings, train_retrieval

    base = RetrievalSettings.published() if published else RetrievalSettings()
    file = None if config is None else read_config(config)
    options = {"size": size, "epochs": epochs, "run.workers": workers, "seed": seed}
    settings = resolve(base, file, set_, options)
    if print_config:
        print_settings("train retrieval", settings)
        return
    if evaluate_split and seeds is None:
        raise InputError("--evaluate-split goes with --seeds; score a single model with 'cico evaluate'")
    with progress("train retrieval", unit="steps") as advance:
        if seeds is None:
            summary = train_retrieval(corpus, features, out, settings, init, advance)
        else:
            summary = train_seeds(corpus, features, out, settings, seeds, init, evaluate_split, advance)
    finish("train retrieval", summary, json)
    if seeds is not None:
        say_spread(summary.details["spread"])


def say_spread(spread: dict[str, Any]) -> None:
    """Print R@1 of each split both ways: mean, deviation over seeds, interval."""
    from cico_platform.cli.output import say

    for split, ways in spread.items():
        for way, figures in ways.items():
            found = figures["R@1"]
            low, high = found["interval"]
            deviation = "" if found["sd"] is None else f" ± {found['sd']:.1f}"
            say(f"  {split} {way.upper()} R@1: {found['mean']:.1f}{deviation} ({low:.1f}-{high:.1f})")
