"""`cico reproduce`: the published results of a corpus, from its downloads to a table."""

from typing import Annotated

import typer

from cico_platform.cli.configurable import Config, PrintConfig, Set, print_settings


def reproduce(
    name: Annotated[str, typer.Argument(help="how2sign, phoenix2014t or csl-daily.")],
    root: Annotated[str, typer.Option("--root", help="The corpus as it was downloaded.")],
    weights: Annotated[
        str, typer.Option("--weights", help="Folder with the published sign encoder and CLIP.")
    ],
    storage: Annotated[
        str,
        typer.Option(
            "--storage", help="Folder or URL that everything is written to, below the recipe's name."
        ),
    ] = "reproduce",
    address: Annotated[
        str | None, typer.Option("--address", help="A Ray cluster to join; else one starts here.")
    ] = None,
    texts: Annotated[
        str | None,
        typer.Option(
            "--texts",
            help="translated: CiCo's machine translations; original: the corpus' own. Else as in the paper.",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Retrieval trainings.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes of each training; one a GPU.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print steps, costs and missing files, and do nothing.")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", help="For --dry-run: cpu, v100, t4, a10, l4, l40s, a100, h100, h200.")
    ] = "h100",
    devices: Annotated[int, typer.Option("--devices", min=1, help="For --dry-run: how many.")] = 1,
    config: Config = None,
    set_: Set = None,
    print_config: PrintConfig = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Reproduce the paper on a corpus, and print our figures beside the published ones.

    Imports the published sign encoder and CLIP, reads the corpus, mines pseudo-labels, adapts the sign
    encoder, extracts features, trains the retrieval model with several seeds and evaluates it as the paper
    does. Stop it whenever you like: the same command goes on where it was.
    """
    from cico_platform.cli.output import console, emit, say
    from cico_platform.config_files import read_config, resolve
    from cico_platform.observability.stage_display import StageDisplay
    from cico_platform.pipelines.device_rates import device_rate
    from cico_platform.reproduce.dry_run import dry_run as look
    from cico_platform.reproduce.recipes import find_recipe
    from cico_platform.reproduce.run import MARKDOWN_FILE, open_chain
    from cico_platform.reproduce.run import reproduce as run
    from cico_platform.reproduce.settings import ReproduceSettings
    from cico_platform.reproduce.table import as_rich
    from cico_platform.storage import place

    options = {
        "texts": texts,
        "seeds": seeds,
        "training.run.workers": workers,
        "adaptation.run.workers": workers,
    }
    recipe = find_recipe("how2sign" if print_config and name is None else name)
    file = None if config is None else read_config(config)
    settings = resolve(ReproduceSettings.of(recipe), file, set_, options)
    if print_config:
        print_settings(f"reproduce {recipe.name}", settings)
        return
    chain, missing = open_chain(recipe, root, weights, place(storage) / recipe.name, settings)
    for missed in missing:
        need = "missing" if missed.needed else "not there"
        told = f"{need}: {missed.what} ({missed.where})"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        planned = look(chain, missing, device_rate(device), devices)
        console.print(planned.as_rich())
        emit(json, planned.as_json())
        return
    with StageDisplay(console, len(chain.steps())) as display:
        result = run(chain, missing, display, address)
    console.print(as_rich(result.table))
    for note in result.table.notes:
        console.print(f"• {note}", highlight=False, markup=False, soft_wrap=True)
    emit(json, result.as_json())
    say(f"the table: {chain.home / MARKDOWN_FILE}")
