"""The same training with several seeds: how much of a result is luck."""

from typing import Any

from cico_model.metrics import summarise_ranks
from cico_platform.corpus.manifest import SPLITS, Corpus
from cico_platform.errors import InputError
from cico_platform.evaluation.ranks import WAYS, Ranks, rank_queries, spread
from cico_platform.settings import OnProgress
from cico_platform.steps import STEP_FILE, Summary, write_json
from cico_platform.storage import Place, place
from cico_platform.training.retrieval import RetrievalSettings, train_retrieval

SEEDS_FILE = "seeds.json"
VALIDATION = "validation"
HOW = "mean, sample deviation over seeds, 95% interval of the mean by bootstrap over seeds and queries"


def train_seeds(
    corpus: str | Place,
    features: str | Place,
    out: str | Place,
    settings: RetrievalSettings,
    seeds: int,
    init: str | Place | None = None,
    evaluate_split: str | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Train a retrieval model with `seeds` seeds, from that of the settings on.

    Each model is a step of its own in `out/seed-N`: after a kill those that are done are skipped, and the one
    that was cut goes on. `out/seeds.json` holds how each does on the validation split, the spread over all,
    and which is best there; the test split, where asked for, chooses nothing.

    Parameters
    ----------
    evaluate_split
        A split to score every seed on, beside the validation split.

    Returns
    -------
    Summary
        Sum over seeds. Details are those of `seeds.json`: `seeds`, a row each; `spread`, by split; `best`.

    Raises
    ------
    InputError
        If the folder holds a single model, or as `train_retrieval` does.
    """
    splits = splits_of(Corpus(corpus), evaluate_split)
    home = place(out)
    if (home / STEP_FILE).is_file():
        raise InputError(f"'{out}' holds a single model; name another folder for several seeds")
    rows: list[dict[str, Any]] = []
    ranks: dict[str, list[Ranks]] = {split: [] for split in splits}
    total = Summary()
    for number in range(seeds):
        own = settings.model_copy(update={"seed": settings.seed + number})
        name = f"seed-{own.seed}"
        trained = train_retrieval(corpus, features, home / name, own, init, _part(on_progress, number, seeds))
        row = {"seed": own.seed, "model": name, "best_epoch": trained.details["best_epoch"]}
        for split in splits:
            folder = home / "ranks" / split / name
            found = rank_queries(corpus, features, home / name, split, folder, settings.run.store)
            ranks[split].append(found)
            row[split] = {way: rounded(summarise_ranks(found[way])) for way in WAYS}
        rows.append(row)
        total = Summary(
            total.done + trained.done, total.skipped + trained.skipped, 0, total.seconds + trained.seconds
        )
    details = {
        "seeds": rows,
        "spread": {split: spread(found) for split, found in ranks.items()},
        "best": max(rows, key=validation_score)["model"] if VALIDATION in splits else None,
        "how": HOW,
    }
    write_json(home / SEEDS_FILE, {**details, "settings": settings.decisive()})
    return Summary(total.done, total.skipped, 0, round(total.seconds, 3), details)


def splits_of(corpus: Corpus, evaluate_split: str | None) -> list[str]:
    """The splits that models are scored on: validation where there is one, and the split asked for.

    Raises
    ------
    InputError
        If that split is unknown or empty, or there is none at all.
    """
    if evaluate_split is not None and evaluate_split not in SPLITS:
        raise InputError(f"the split is one of {', '.join(SPLITS)}, not '{evaluate_split}'")
    if evaluate_split and not corpus.count(evaluate_split):
        raise InputError(f"no sentence clip of '{corpus.path}' is in split '{evaluate_split}'")
    chosen = [VALIDATION] if corpus.count(VALIDATION) else []
    if evaluate_split and evaluate_split not in chosen:
        chosen.append(evaluate_split)
    if not chosen:
        raise InputError(
            f"'{corpus.path}' has no validation split to compare seeds on; give --evaluate-split"
        )
    return chosen


def validation_score(row: dict[str, Any]) -> float:
    """R@1 both ways on the validation split: what a model is chosen by."""
    return float(sum(row[VALIDATION][way]["R@1"] for way in WAYS))


def rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics as they are written."""
    return {name: round(value, 2) for name, value in metrics.items()}


def _part(on_progress: OnProgress | None, number: int, parts: int) -> OnProgress | None:
    """Progress of one training as that of its part of all."""
    if on_progress is None:
        return None

    def advance(done: int, total: int, /, **said: Any) -> None:
        on_progress(number * total + done, parts * total, **said)

    return advance
