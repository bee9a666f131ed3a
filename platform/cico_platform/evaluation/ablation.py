"""An ablation: variants of the method, each trained with several seeds, in one table."""

import time
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from cico_platform.corpus.manifest import MANIFEST_FILE, Corpus
from cico_platform.errors import InputError
from cico_platform.evaluation.ablation_grid import Grid, Variant, default_grid, variants
from cico_platform.evaluation.ablation_table import as_latex, as_markdown
from cico_platform.evaluation.ranks import RESAMPLES, WAYS, read_ranks, spread
from cico_platform.evaluation.seeds import HOW, VALIDATION, splits_of
from cico_platform.evaluation.trials import Trial, run_trials
from cico_platform.pipelines.stored_features import read_info, read_mix
from cico_platform.settings import OnProgress, Settings
from cico_platform.steps import STEP_FILE, Summary, fingerprint, write_json
from cico_platform.storage import Place, absolute, place, write_whole
from cico_platform.training.retrieval import RetrievalSettings

RESULT_FILE, MARKDOWN_FILE, LATEX_FILE = "ablation.json", "ablation.md", "ablation.tex"


class AblationSettings(Settings):
    """How an ablation is run.

    Attributes
    ----------
    seeds
        Trainings of each variant, from the seed of the full method's settings on.
    split
        The split that the table is about; models and variants are chosen on the validation split.
    concurrent
        Most trainings at a time; 0 takes as many as the cluster has room for.
    resamples
        Of the bootstrap.
    """

    seeds: int = Field(default=3, ge=1)
    split: str = "test"
    concurrent: int = Field(default=0, ge=0)
    resamples: int = Field(default=RESAMPLES, ge=10)


def ablate(
    corpus: str | Place,
    features: str | Place,
    out: str | Place,
    full: RetrievalSettings | None = None,
    grid: Grid | None = None,
    settings: AblationSettings | None = None,
    init: str | Place | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Train the variants of a grid with several seeds and write `ablation.json`, `.md` and `.tex`.

    Each training is a step of its own in `out/models`, named by all that decides it: what is done is never
    done again, whatever becomes of the grid, and a training that was cut goes on.

    Parameters
    ----------
    full
        Settings of the full method, which variants differ from.
    grid
        `default_grid` where it is None.

    Returns
    -------
    Summary
        Trainings done, and skipped. Details are those of `ablation.json`.

    Raises
    ------
    InputError
        If the grid, the corpus or the features can't be used.
    CicoError
        If trainings failed.
    """
    began = time.monotonic()
    full, settings = full or RetrievalSettings(), settings or AblationSettings()
    splits = splits_of(Corpus(corpus), settings.split)
    home = place(absolute(out))
    if (home / STEP_FILE).is_file():
        raise InputError(f"'{out}' was written by another step; name another folder")
    mix = read_mix(features, full.alpha)
    inputs = {
        "manifest": fingerprint(place(corpus) / MANIFEST_FILE),
        "features": fingerprint(features),
        "init": "" if init is None else fingerprint(init),
    }
    grid = grid or default_grid(len(mix.shares), read_info(features).stride)
    rows = variants(grid, full, inputs, mix.alpha)
    trials = _trials(rows, settings.seeds, splits, home, (corpus, features, init))
    missing = [trial for trial in trials if not _is_done(trial)]
    done = len(trials) - len(missing)

    def advance() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, len(trials))

    if on_progress:
        on_progress(done, len(trials))
    run_trials(missing, settings.concurrent, advance)
    result = _result(rows, home, splits, full, settings)
    write_json(home / RESULT_FILE, result)
    write_whole(home / MARKDOWN_FILE, as_markdown(result).encode())
    write_whole(home / LATEX_FILE, as_latex(result).encode())
    seconds = round(time.monotonic() - began, 3)
    return Summary(len(missing), len(trials) - len(missing), 0, seconds, result)


def _trials(
    rows: Sequence[Variant],
    seeds: int,
    splits: Sequence[str],
    home: Place,
    inputs: tuple[str | Place, str | Place, str | Place | None],
) -> list[Trial]:
    """The trainings that the rows need, each once."""
    corpus, features, init = inputs
    trials: dict[str, Trial] = {}
    for row in rows:
        for number in range(seeds):
            seed = row.settings.seed + number
            name = f"{row.key}/seed-{seed}"
            if name in trials:
                continue
            tracking = row.settings.tracking.model_copy(update={"metrics_port": 0})  # several share a machine
            trials[name] = Trial(
                f"'{row.title}' with seed {seed}",
                absolute(corpus),
                absolute(features),
                None if init is None else absolute(init),
                str(home / "models" / name),
                {split: str(home / "ranks" / split / name) for split in splits},
                row.settings.model_copy(update={"seed": seed, "tracking": tracking}),
            )
    return list(trials.values())


def _is_done(trial: Trial) -> bool:
    # Folders are named by all inputs: a finished step in one is that of these.
    return all((place(folder) / STEP_FILE).is_file() for folder in (trial.model, *trial.ranks.values()))


def _result(
    rows: Sequence[Variant],
    home: Place,
    splits: Sequence[str],
    full: RetrievalSettings,
    settings: AblationSettings,
) -> dict[str, Any]:
    usual = full.model_dump()
    described: list[dict[str, Any]] = []
    for row in rows:
        seeds = [f"{row.key}/seed-{row.settings.seed + number}" for number in range(settings.seeds)]
        found = {
            split: spread(
                [read_ranks(home / "ranks" / split / name) for name in seeds],
                settings.resamples,
                full.seed,
            )
            for split in splits
        }
        changes = {name: value for name, value in row.settings.model_dump().items() if value != usual[name]}
        described.append(
            {
                "section": row.section,
                "title": row.title,
                "key": row.key,
                "changes": changes,
                "models": [f"models/{name}" for name in seeds],
                **found,
            }
        )
    queries = read_ranks(home / "ranks" / settings.split / seeds[0])
    return {
        "split": settings.split,
        "seeds": [full.seed + number for number in range(settings.seeds)],
        "queries": {way: len(queries[way]) for way in WAYS},
        "rows": described,
        "chosen": _chosen(described) if VALIDATION in splits else None,
        "how": HOW,
        "settings": full.decisive(),
    }


def _chosen(rows: Sequence[dict[str, Any]]) -> str:
    """The key of the variant that is best on the validation split, by R@1 both ways; the first of equals."""
    best = max(rows, key=lambda row: sum(row[VALIDATION][way]["R@1"]["mean"] for way in WAYS))
    return str(best["key"])
