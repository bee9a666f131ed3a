"""`cico ablate`: what each part of the method is worth."""

from typing import Annotated

import typer

from cico_platform.cli.configurable import Config, PrintConfig, Set, print_settings


def ablate(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    features: Annotated[
        str, typer.Option("--features", help="Folder that 'cico features' wrote, of two encoders.")
    ],
    out: Annotated[str, typer.Option("--out", help="Folder of the trainings and of the tables.")],
    grid: Annotated[
        str | None, typer.Option("--grid", help="A YAML file of variants; without it, the paper's.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each variant.")] = 3,
    split: Annotated[str, typer.Option(help="The split that the table is about.")] = "test",
    concurrent: Annotated[
        int, typer.Option("--concurrent", help="Most trainings at a time; 0: as there is room.")
    ] = 0,
    init: Annotated[str | None, typer.Option("--init", help="Checkpoint that all start from.")] = None,
    published: Annotated[
        bool, typer.Option("--published", help="The paper's settings instead of the defaults.")
    ] = False,
    config: Config = None,
    set_: Set = None,
    print_config: PrintConfig = False,
    print_grid: Annotated[
        bool, typer.Option("--print-grid", help="Write the paper's grid as YAML, and do nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Train variants of the method with several seeds each, and compare them in one table.

    Settings are those of 'cico train retrieval': --config and --set say what the full method is. Stop it
    whenever you like: the same command goes on where it was.
    """
    from cico_platform.cli.output import console, emit, say
    from cico_platform.cli.progress import make_settings, progress
    from cico_platform.config_files import read_config, resolve
    from cico_platform.evaluation.ablation import AblationSettings
    from cico_platform.evaluation.ablation import ablate as run
    from cico_platform.evaluation.ablation_grid import default_grid, read_grid
    from cico_platform.evaluation.ablation_table import as_table
    from cico_platform.training.retrieval import RetrievalSettings

    base = RetrievalSettings.published() if published else RetrievalSettings()
    full = resolve(base, None if config is None else read_config(config), set_)
    variants = None if grid is None else read_grid(read_config(grid))
    if print_config or print_grid:
        shown = (full, "--config") if print_config else (variants or default_grid(), "--grid")
        print_settings("ablate", *shown)
        return
    settings = make_settings(AblationSettings, seeds=seeds, split=split, concurrent=concurrent)
    with progress("ablate", unit="trainings") as advance:
        summary = run(corpus, features, out, full, variants, settings, init, advance)
    console.print(as_table(summary.details))
    emit(json, summary.as_json())
    say(
        f"[bold]ablate[/bold]: {summary.done} trainings done, {summary.skipped} skipped in "
        f"{summary.seconds:.1f} s; the tables are in {out}"
    )
