"""Evaluation: a split scored both ways, with bootstrap intervals and hubness, as `report.json`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cico_model.metrics import retrieval_ranks, summarise_ranks
from cico_platform.corpus.manifest import MANIFEST_FILE, SPLITS, Corpus
from cico_platform.errors import InputError
from cico_platform.pipelines.embed import model_alpha, open_model
from cico_platform.pipelines.stored_features import read_info
from cico_platform.settings import Settings
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, place
from cico_platform.training.pairs import Pairs, load_pairs, score_pairs

Floats = NDArray[np.float64]
STAGE = "evaluate"
REPORT_FILE = "report.json"
NEIGHBOURS = 10


class EvaluationSettings(Settings):
    """How a split is evaluated: resamples of the bootstrap, and alpha where it is not the training's."""

    resamples: int = Field(default=1000, ge=10)
    alpha: float | None = Field(default=None, ge=0, le=1)
    seed: int = 0


def evaluate(
    corpus: str | Place,
    features: str | Place,
    model: str | Place,
    split: str,
    out: str | Place,
    settings: EvaluationSettings | None = None,
) -> Summary:
    """Score a split and write `report.json`: R@k, MedR and MeanR both ways, 95% intervals, hubness.

    Returns
    -------
    Summary
        Videos scored; skipped: those without features. The details are the report.

    Raises
    ------
    InputError
        If the split is empty or unknown, or model and features don't fit.
    """
    settings = settings or EvaluationSettings()
    if split not in SPLITS:
        raise InputError(f"the split is one of {', '.join(SPLITS)}, not '{split}'")
    loaded = open_model(model, features, int(read_info(features)["dim"]))
    key = content_key(
        step=STAGE,
        manifest=fingerprint(place(corpus) / MANIFEST_FILE),
        features=fingerprint(features),
        model=fingerprint(model),
        split=split,
        settings=settings.model_dump(),
    )

    def body(folder: Place) -> Summary:
        alpha = model_alpha(model) if settings.alpha is None else settings.alpha
        pairs = load_pairs(corpus, features, split, alpha)
        report = {"split": split, **report_of(score_pairs(loaded, pairs).numpy(), pairs, settings)}
        write_json(folder / REPORT_FILE, report)
        clips = len(Corpus(corpus).clips(split=split, labelled=False))
        return Summary(len(pairs), clips - len(pairs), 0, 0.0, report)

    return run_step(out, STAGE, key, body)


def report_of(scores: NDArray[Any], pairs: Pairs, settings: EvaluationSettings) -> dict[str, Any]:
    """The report on scores [videos, texts]."""
    ranks = retrieval_ranks(scores, np.asarray(pairs.owners))
    rng = np.random.default_rng(settings.seed)
    return {
        "texts": len(pairs.texts),
        "videos": len(pairs),
        **{way: _rounded(summarise_ranks(found)) for way, found in ranks.items()},
        "intervals": {way: bootstrap(found, settings.resamples, rng) for way, found in ranks.items()},
        "hubness": {"t2v": hubness(scores.T), "v2t": hubness(scores)},
    }


def bootstrap(ranks: Floats, resamples: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """95% intervals of the metrics of these ranks: percentiles over queries drawn with replacement.

    Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    drawn = [summarise_ranks(rng.choice(ranks, len(ranks))) for _ in range(resamples)]
    return {
        name: [round(float(v), 2) for v in np.percentile([d[name] for d in drawn], [2.5, 97.5])]
        for name in drawn[0]
    }


def hubness(scores: NDArray[Any]) -> dict[str, float]:
    """How unevenly candidates are found, from scores [queries, candidates].

    `skewness` of the number of queries that have a candidate among their ten nearest (Radovanović et al.,
    "Hubs in Space", JMLR 2010), the part of candidates that none has (`never`), the largest number (`most`).
    """
    nearest = min(NEIGHBOURS, scores.shape[1])
    found = np.argpartition(-scores, nearest - 1, axis=1)[:, :nearest]
    counts = np.bincount(found.ravel(), minlength=scores.shape[1]).astype(np.float64)
    spread = counts.std()
    skewness = float((((counts - counts.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0
    return {
        "k": nearest,
        "skewness": round(skewness, 4),
        "never": round(float((counts == 0).mean()), 4),
        "most": float(counts.max()),
    }


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in metrics.items()}
