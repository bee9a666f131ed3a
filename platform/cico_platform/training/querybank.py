"""The bank of queries for QB-Norm: training videos and their texts, so that the queries judged stay apart."""

import numpy as np

from cico_model.model import RetrievalModel
from cico_platform.corpus.manifest import Corpus
from cico_platform.pipelines.stored_features import Features
from cico_platform.training.hubness import Bank
from cico_platform.training.pairs import EncodedPairs, Pairs, encode_pairs, load_pairs, score_encoded


def training_bank(
    model: RetrievalModel,
    corpus: Corpus,
    features: Features,
    judged: EncodedPairs,
    size: int,
    rng: np.random.Generator,
) -> Bank | None:
    """At most `size` training videos, drawn at random, and their texts, compared with what is judged.

    None where no training clip has features.
    """
    known = set(features.video_ids)
    if not any(clip.video_id in known for clip in corpus.clips(split="train", labelled=False)):
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
    rows = sorted(int(row) for row in rng.choice(len(pairs), size, replace=False))
    places = {owner: place for place, owner in enumerate(dict.fromkeys(pairs.owners[row] for row in rows))}
    return Pairs(
        [pairs.video_ids[row] for row in rows],
        [pairs.features[row] for row in rows],
        [pairs.texts[owner] for owner in places],
        [places[pairs.owners[row]] for row in rows],
    )
