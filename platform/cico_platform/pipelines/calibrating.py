"""What the scores of a collection mean, learned from its validation clips, whose sentences are known."""

import numpy as np

from cico_model.calibration import Calibration, calibrate
from cico_model.config import TowerConfig
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import TEXT_KEY, Filters, Hit
from cico_platform.index.ranking import score, tokens_of
from cico_platform.index.texts import text_tokens

SPLIT = "validation"
# Fewer say too little; more say little more, and cost their number squared.
MIN_QUERIES, MAX_CLIPS = 20, 1000


def calibrate_collection(index: VectorIndex, collection: str, config: TowerConfig) -> dict[str, Calibration]:
    """Calibrations of a search by `text` and by `video`; one that can't be had is absent.

    The validation clips are searched among themselves with the similarity that search ranks with; the
    collection has its texts already. In one that holds many more clips, wrong ones that look right are more
    frequent.
    """
    hits = _validation_clips(index, collection)
    texts = text_tokens(index, collection, sorted({_key(hit) for hit in hits}))
    hits = [hit for hit in hits if _key(hit) in texts]
    if min(len(hits), len(texts)) < MIN_QUERIES:
        return {}
    scores = score([tokens_of(hit) for hit in hits], list(texts.values()), config)
    right = np.array([[_key(hit) == key for key in texts] for hit in hits])
    found = {}
    for way, (table, truth) in {"text": (scores.T, right.T), "video": (scores, right)}.items():
        try:
            found[way] = calibrate(table, truth)
        except ValueError:  # the scores tell nothing
            continue
    return found


def _validation_clips(index: VectorIndex, collection: str) -> list[Hit]:
    held = index.fetch(collection, filters=Filters(split=[SPLIT]), fields=(TEXT_KEY,))
    names = sorted(hit.video_id for hit in held if _key(hit))
    if len(names) > MAX_CLIPS:
        places = np.linspace(0, len(names) - 1, MAX_CLIPS).astype(int)
        names = [names[place] for place in places]
    return list(index.fetch(collection, names, tokens=True))


def _key(hit: Hit) -> str:
    return str(hit.payload.get(TEXT_KEY) or "")
