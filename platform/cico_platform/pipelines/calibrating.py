"""What the scores of a collection mean, learned from its validation clips, whose sentences are known."""

from collections.abc import Sequence

import numpy as np

from cico_model.calibration import Calibration, calibrate
from cico_model.model import RetrievalModel
from cico_model.text_cleaning import clean_text
from cico_model.words import has_word
from cico_platform.encoding.texts import encode_texts
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import Filters, Hit, Tokens
from cico_platform.index.ranking import score, tokens_of

SPLIT = "validation"
# Fewer say too little; more say little more, and cost their number squared.
MIN_QUERIES, MAX_CLIPS = 20, 1000
ENCODE_BATCH = 64


def calibrate_collection(
    index: VectorIndex, collection: str, model: RetrievalModel
) -> dict[str, Calibration]:
    """Calibrations of a search by `text` and by `video`; one that can't be had is absent.

    The validation clips are searched among themselves with the similarity that search ranks with. In a
    collection that holds many more clips, wrong ones that look right are more frequent.
    """
    hits = _validation_clips(index, collection)
    texts = sorted({_text(hit) for hit in hits})
    if min(len(hits), len(texts)) < MIN_QUERIES:
        return {}
    scores = score([tokens_of(hit) for hit in hits], _encoded(model, texts), model.config)
    right = np.array([[_text(hit) == text for text in texts] for hit in hits])
    found = {}
    for way, (table, truth) in {"text": (scores.T, right.T), "video": (scores, right)}.items():
        try:
            found[way] = calibrate(table, truth)
        except ValueError:  # the scores tell nothing
            continue
    return found


def _validation_clips(index: VectorIndex, collection: str) -> list[Hit]:
    wanted = Filters(split=[SPLIT])
    held = index.fetch(collection, filters=wanted, fields=("text",))
    names = sorted(hit.video_id for hit in held if _text(hit))
    if len(names) > MAX_CLIPS:
        places = np.linspace(0, len(names) - 1, MAX_CLIPS).astype(int)
        names = [names[place] for place in places]
    return list(index.fetch(collection, names, tokens=True))


def _text(hit: Hit) -> str:
    text = clean_text(str(hit.payload.get("text") or ""))
    return text if has_word(text) else ""


def _encoded(model: RetrievalModel, texts: Sequence[str]) -> list[Tokens]:
    return [
        query.tokens
        for first in range(0, len(texts), ENCODE_BATCH)
        for query in encode_texts(model, texts[first : first + ENCODE_BATCH])
    ]
