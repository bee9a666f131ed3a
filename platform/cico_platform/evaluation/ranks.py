"""Ranks of the right answers, query by query: what trainings of several seeds are compared by."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_model.metrics import retrieval_ranks, summarise_ranks
from cico_platform.corpus.manifest import MANIFEST_FILE
from cico_platform.pipelines.embed import model_alpha, open_model
from cico_platform.pipelines.stored_features import read_info
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place, place
from cico_platform.training.data.feature_source import open_features
from cico_platform.training.pairs import load_pairs, score_pairs

Ranks = dict[str, NDArray[np.float64]]
STAGE, RANKS_FILE = "ranks", "ranks.json"
WAYS = ("t2v", "v2t")
RESAMPLES = 1000


def rank_queries(
    corpus: str | Place,
    features: str | Place,
    model: str | Place,
    split: str,
    out: str | Place,
    store: str = "",
) -> Ranks:
    """Rank of the right answer of each query of a split, both ways; kept in `out`, computed once.

    Parameters
    ----------
    store
        Folder with this node's copy of the features (`RunSettings.store`).

    Raises
    ------
    InputError
        If the split is empty, or model and features don't fit.
    """
    key = content_key(
        step=STAGE,
        manifest=fingerprint(place(corpus) / MANIFEST_FILE),
        features=fingerprint(features),
        model=fingerprint(model),
        split=split,
    )

    def body(folder: Place) -> Summary:
        opened = open_model(model, features, read_info(features).dim)
        read = open_features(features, model_alpha(model), opened.config.window_stride, store)
        pairs = load_pairs(corpus, read, split)
        ranks = retrieval_ranks(score_pairs(opened, pairs), pairs.text_of_video)
        write_json(folder / RANKS_FILE, {way: found.tolist() for way, found in ranks.items()})
        return Summary(len(pairs))

    run_step(out, STAGE, key, body)
    return read_ranks(out)


def read_ranks(folder: str | Place) -> Ranks:
    """What `rank_queries` has kept."""
    kept = json.loads((place(folder) / RANKS_FILE).read_text(encoding="utf-8"))
    return {way: np.asarray(kept[way], dtype=np.float64) for way in WAYS}


def spread(runs: Sequence[Ranks], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Metrics of several seeds' runs on the same queries: mean, deviation, interval.

    The 95% interval is that of the mean over seeds. It draws seeds and queries anew, both with replacement
    and independently of each other, as every seed answers every query (Owen, "The pigeonhole bootstrap",
    Annals of Applied Statistics 1, 2007); with one seed it is the bootstrap over queries.

    Returns
    -------
    dict
        `{"t2v": {"R@1": {"mean", "sd", "interval": [low, high]}, ...}, "v2t": {...}}`; `sd` is the sample
        deviation over seeds, None for one seed.

    Examples
    --------
    >>> ranks = np.array([1.0, 1.0, 2.0, 9.0])
    >>> spread([{"t2v": ranks, "v2t": ranks}] * 2)["t2v"]["R@1"]["mean"]
    50.0
    """
    rng = np.random.default_rng(seed)
    return {way: _spread(np.stack([run[way] for run in runs]), resamples, rng) for way in WAYS}


def _spread(ranks: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> dict[str, Any]:
    """Of ranks [seeds, queries]."""
    each = [summarise_ranks(row) for row in ranks]
    drawn = []
    for _ in range(resamples):
        seeds = rng.integers(len(ranks), size=len(ranks))
        queries = rng.integers(ranks.shape[1], size=ranks.shape[1])
        drawn.append(_mean([summarise_ranks(row) for row in ranks[np.ix_(seeds, queries)]]))
    result = {}
    for name, mean in _mean(each).items():
        deviation = round(float(np.std([e[name] for e in each], ddof=1)), 2) if len(each) > 1 else None
        interval = [round(float(v), 2) for v in np.percentile([d[name] for d in drawn], [2.5, 97.5])]
        result[name] = {"mean": round(mean, 2), "sd": deviation, "interval": interval}
    return result


def _mean(summaries: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([summary[name] for summary in summaries])) for name in summaries[0]}
