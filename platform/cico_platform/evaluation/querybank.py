"""The bank of queries for QB-Norm: training videos and their texts, so that the queries judged stay apart."""

import numpy as np

from cico_model.model import RetrievalModel
from cico_platform.corpus.manifest import Corpus
from cico_platform.evaluation.hubness import Bank
from cico_platform.training.data.feature_source import OpenFeatures
from cico_platform.training.pairs import (
    EncodedPairs,
    Pairs,
    encode_pairs,
    has_pairs,
    load_pairs,
    score_encoded,
)


def training_bank(
    model: RetrievalModel,
    corpus: Corpus,
    features: OpenFeatures,
    judged: EncodedPairs,
    size: int,
    rng: np.random.Generator,
) -> Bank | None:
    """At most `size` training videos, drawn at random, and their texts, compared with what is judged.

    None where no training clip has features.
    """
    if not has_pairs(corpus.path, features, "train"):
        return None
    train = load_pairs(corpus.path, features, "train")
    chosen = _draw(train, size, rng)
    encoded = encode_pairs(model, chosen)
    described = {
        "bank": "training",
        "texts": len(chosen.texts),
        "videos": len(chosen),
        "of_texts": len(train.texts),
        "of_videos": len(train),
    }
    return Bank(
        t2v=score_encoded(model, judged, encoded).numpy().T,
        v2t=score_encoded(model, encoded, judged).numpy(),
        uses_query_set=False,
        described=described,
    )


def _draw(pairs: Pairs, size: int, rng: np.random.Generator) -> Pairs:
    if len(pairs) <= size:
        return pairs
    return pairs.take(sorted(int(row) for row in rng.choice(len(pairs), size, replace=False)))
