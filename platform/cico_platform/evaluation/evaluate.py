"""Evaluation: a split scored both ways, with intervals, breakdowns, hubness: `report.json`, `report.html`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cico_model.metrics import cumulated_gain, normalised_gains, retrieval_ranks, summarise_ranks
from cico_model.model import RetrievalModel
from cico_platform.corpus.manifest import MANIFEST_FILE, SPLITS, Clip, Corpus
from cico_platform.errors import InputError
from cico_platform.evaluation.breakdown import breakdown, rank_summary
from cico_platform.evaluation.hubness import Bank, corrections, hubness
from cico_platform.evaluation.published import published
from cico_platform.evaluation.queries import best_and_worst
from cico_platform.evaluation.querybank import training_bank
from cico_platform.evaluation.report import render_report
from cico_platform.pipelines.changed_clips import check_unchanged
from cico_platform.pipelines.embed import model_alpha, open_model
from cico_platform.pipelines.stored_features import read_info
from cico_platform.settings import Settings
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, place, write_whole
from cico_platform.training.data.feature_source import OpenFeatures, open_features
from cico_platform.training.pairs import Pairs, encode_pairs, load_pairs, score_encoded

Floats = NDArray[np.float64]
STAGE = "evaluate"
REPORT_FILE, PAGE_FILE = "report.json", "report.html"
# Changes with what is written, so that a folder of an earlier version is written again.
VERSION = 3


class EvaluationSettings(Settings):
    """How a split is evaluated.

    Attributes
    ----------
    resamples
        Of the bootstrap.
    alpha
        Share of the first encoder's features; None takes that of the training.
    querybank
        Training videos whose scores correct for hubs (QB-Norm); with 0, the query set is used, and labelled.
    html
        Whether `report.html` is written.
    store
        Folder with this node's copy of the features (`RunSettings.store`).
    """

    resamples: int = Field(default=1000, ge=10)
    alpha: float | None = Field(default=None, ge=0, le=1)
    querybank: int = Field(default=1000, ge=0)
    html: bool = True
    store: str = ""
    seed: int = 0


def evaluate(
    corpus: str | Place,
    features: str | Place,
    model: str | Place,
    split: str,
    out: str | Place,
    settings: EvaluationSettings | None = None,
) -> Summary:
    """Score a split; write `report.json` and, for people, `report.html`.

    The report: R@k, MedR, MeanR and DCG@10 both ways with 95% intervals, ranks, breakdowns, hubness and what
    correcting for it does, published numbers where the split is theirs, the best and the worst queries.

    Returns
    -------
    Summary
        Videos scored; skipped: those without features. The details are the report.

    Raises
    ------
    InputError
        If the split is empty or unknown, clips have changed since their features were computed, or model and
        features don't fit.
    """
    settings = settings or EvaluationSettings()
    if split not in SPLITS:
        raise InputError(f"the split is one of {', '.join(SPLITS)}, not '{split}'")
    source = Corpus(corpus)
    check_unchanged(corpus, features, "cico features")
    opened = open_model(model, features, read_info(features).dim)
    key = content_key(
        step=STAGE,
        version=VERSION,
        manifest=fingerprint(source.path / MANIFEST_FILE),
        corpus=source.info(),
        features=fingerprint(features),
        model=fingerprint(model),
        split=split,
        settings=settings.model_dump(exclude={"store"}),
    )

    def body(folder: Place) -> Summary:
        alpha = model_alpha(model) if settings.alpha is None else settings.alpha
        loaded = open_features(features, alpha, opened.config.window_stride, settings.store)
        pairs = load_pairs(corpus, loaded, split)
        by_id = {clip.video_id: clip for clip in source.clips(split, labelled=False)}
        clips = [by_id[name] for name in pairs.video_ids]
        scores, bank = _score(opened, source, loaded, pairs, split, settings)
        report = {"split": split, **report_of(scores, pairs, clips, settings)}
        scale = float(opened.logit_scale.detach().exp())
        report["hubness"]["corrected"] = corrections(scores, pairs.text_of_video, scale, bank)
        report["published"] = published(source.info(), split, pairs, clips)
        write_json(folder / REPORT_FILE, report)
        if settings.html:
            made_of = {"model": place(model).name, "features": place(features).name, "alpha": loaded.alpha}
            facts = {**made_of, "resamples": settings.resamples, "seed": settings.seed}
            page = render_report(report, scores, pairs, clips, source, place(out), facts)
            write_whole(folder / PAGE_FILE, page.encode())
        return Summary(len(pairs), len(by_id) - len(pairs), 0, 0.0, report)

    return run_step(out, STAGE, key, body)


def report_of(
    scores: NDArray[Any], pairs: Pairs, clips: Sequence[Clip], settings: EvaluationSettings
) -> dict[str, Any]:
    """What scores [videos, texts] alone tell; `clips` are the manifest's rows of the videos."""
    ranks = retrieval_ranks(scores, pairs.text_of_video)
    candidates = {"t2v": len(ranks["t2v"]), "v2t": len(pairs.texts)}
    rng = np.random.default_rng(settings.seed)
    return {
        "texts": len(pairs.texts),
        "videos": len(pairs),
        **{way: _rounded(summarise_ranks(found)) for way, found in ranks.items()},
        "intervals": {way: bootstrap(found, settings.resamples, rng) for way, found in ranks.items()},
        "gains": gains(scores, ranks, pairs, settings),
        "hubness": {"t2v": hubness(scores.T), "v2t": hubness(scores)},
        "ranks": {way: rank_summary(found, candidates[way]) for way, found in ranks.items()},
        "breakdown": breakdown(ranks, pairs, clips),
        **best_and_worst(scores, ranks, pairs),
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


def gains(
    scores: NDArray[Any], ranks: dict[str, Floats], pairs: Pairs, settings: EvaluationSettings
) -> dict[str, dict[str, Any]]:
    """DCG@10 of the right answers' ranks, both ways, in percent with its interval.

    Where texts own several videos, text to video has NDCG@10, too, for which all of them are right.
    """
    rng = np.random.default_rng(settings.seed)
    found: dict[str, dict[str, Any]] = {}
    for way, those in ranks.items():
        drawn = [cumulated_gain(rng.choice(those, len(those))) for _ in range(settings.resamples)]
        interval = [round(float(v), 2) for v in np.percentile(drawn, [2.5, 97.5])]
        found[way] = {"DCG@10": round(cumulated_gain(those), 2), "interval": interval}
    if len(ranks["t2v"]) < len(pairs):
        ndcg = 100 * normalised_gains(scores, pairs.text_of_video).mean()
        found["t2v"]["NDCG@10"] = round(float(ndcg), 2)
    return found


def _score(
    model: RetrievalModel,
    corpus: Corpus,
    features: OpenFeatures,
    pairs: Pairs,
    split: str,
    settings: EvaluationSettings,
) -> tuple[NDArray[np.float32], Bank]:
    """Scores [videos, texts], and the bank that corrects them: training videos, or the queries themselves."""
    encoded = encode_pairs(model, pairs)
    scores = score_encoded(model, encoded, encoded).numpy()
    if split == "train" or not settings.querybank:
        return scores, Bank.of_queries(scores)
    rng = np.random.default_rng(settings.seed)
    bank = training_bank(model, corpus, features, encoded, settings.querybank, rng)
    return scores, bank or Bank.of_queries(scores)


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in metrics.items()}
