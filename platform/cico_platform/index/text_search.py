"""The texts that a video may sign, best first, and the clip that shows each.

Filters on texts (`texts.text_filters`) let every text through that has a right clip, and some that have none:
the clip that is shown is looked for with the filters themselves, and a text without one is left out.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import InputError
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import TEXT_KEY, Filters, Hit, Hits, Tokens
from cico_platform.index.deadlines import check_time
from cico_platform.index.texts import batches, clip_filters, no_texts, text_filters, texts_of

# Of no more texts than these, all are scored.
TEXTS = 1000
# Of so many clips that are nearest to the video, the texts are candidates too; of more where filters are
# given: these clips pass them, and many of the texts that may pass may have no such clip.
NEIGHBOURS, FILTERED_NEIGHBOURS = 64, 128
# Texts that are read together, and clips for each when the nearest is looked for.
PAGE, CLIPS_EACH = 32, 4


class FoundText(NamedTuple):
    """A text with its tokens, its score, and the clip of it that is nearest to the video."""

    text: Hit
    score: float
    clip: Hit


class TextSearch:
    """Searches the texts of one collection.

    Parameters
    ----------
    texts
        How many texts leave the first stage; 0: more in larger collections, at least `TEXTS`.
    neighbours
        Of no more than so many of the nearest clips the texts are candidates too.
    score
        The exact score of the video's tokens with each of the texts found, float32 [N].
    """

    def __init__(
        self,
        index: VectorIndex,
        collection: str,
        texts: int,
        neighbours: int,
        score: Callable[[Hits, Tokens], NDArray[np.float32]],
    ) -> None:
        self.index, self.collection, self.texts = index, collection, texts
        self.neighbours, self.score = neighbours, score

    def find(
        self, tokens: Tokens, limit: int, filters: Filters | None = None, offset: int = 0
    ) -> list[FoundText]:
        """The texts that a video with these tokens [Q, D] may sign, best first, without the first `offset`.

        Raises
        ------
        CicoError
            If the collection has no texts, or the caller's time is over.
        """
        # Every text has a clip that passes no filters: those of earlier pages need not be looked up.
        skipped, wanted = (offset, limit) if filters is None or filters.is_empty() else (0, offset + limit)
        texts = islice(self._ranked(tokens, filters, max(PAGE, limit)), skipped, None)
        found: list[FoundText] = []
        while len(found) < wanted:
            some = list(islice(texts, max(limit, wanted - len(found))))
            if not some:
                break
            found += self._with_clips(some, tokens, filters)
        return found[wanted - limit : wanted]

    def _ranked(self, tokens: Tokens, filters: Filters | None, size: int) -> Iterator[tuple[Hit, float]]:
        """All candidates with their scores, best first, each once; `size` are read together."""
        found = self._candidates(tokens, filters)
        if not found:
            return
        scores = np.concatenate([self.score(hits, tokens) for hits in found])
        order = np.argsort(-scores, kind="stable")
        firsts, seen = np.cumsum([0, *(len(hits) for hits in found)]), set[str]()
        for begin in range(0, len(order), size):
            check_time()
            chosen = order[begin : begin + size]
            for i, hit in zip(chosen.tolist(), _taken(found, firsts, chosen), strict=True):
                if hit is not None and hit.video_id not in seen:
                    seen.add(hit.video_id)
                    yield hit, float(scores[i])

    def _candidates(self, tokens: Tokens, filters: Filters | None) -> list[Hits]:
        """The texts whose encoding is near, and those of the nearest clips where not all texts are near."""
        try:
            most = self.texts or max(TEXTS, self.index.candidates(texts_of(self.collection)))
            near = self._query_texts(tokens, most, text_filters(filters))
        except InputError as error:
            raise no_texts(self.index, self.collection) from error
        if len(near) < most:
            return [near] if near else []
        # As many for every page, so that pages join up.
        neighbours = NEIGHBOURS if filters is None or filters.is_empty() else FILTERED_NEIGHBOURS
        neighbours = min(self.neighbours, neighbours)
        clips = self.index.query(self.collection, tokens, limit=neighbours, filters=filters)
        names = [hit.video_id for hit in clips]
        told = self.index.fetch(self.collection, names, fields=(TEXT_KEY,))
        keys = sorted({str(hit.payload[TEXT_KEY]) for hit in told if TEXT_KEY in hit.payload})
        of_clips = [self._query_texts(tokens, len(some), clip_filters(None, some)) for some in batches(keys)]
        return [near, *(hits for hits in of_clips if hits)]

    def _query_texts(self, tokens: Tokens, limit: int, only: Filters | None) -> Hits:
        return self.index.query(
            texts_of(self.collection), tokens, limit=limit, candidates=limit, filters=only, with_tokens=True
        )

    def _with_clips(
        self, texts: Sequence[tuple[Hit, float]], tokens: Tokens, filters: Filters | None
    ) -> list[FoundText]:
        clips: dict[str, Hit] = {}
        for keys in batches([hit.video_id for hit, _ in texts]):
            clips |= self.nearest_clips(tokens, keys, filters)
        return [FoundText(hit, score, clips[hit.video_id]) for hit, score in texts if hit.video_id in clips]

    def nearest_clips(self, tokens: Tokens, keys: Sequence[str], filters: Filters | None) -> dict[str, Hit]:
        """Of each of these texts the clip nearest to the video that passes the filters, if there is one.

        However many clips say a text, a query brings some: it is asked again for texts that others crowd out.
        """
        found: dict[str, Hit] = {}
        missing = list(keys)
        while missing:
            check_time()
            wanted = CLIPS_EACH * len(missing)
            only = clip_filters(filters, missing)
            hits = self.index.query(self.collection, tokens, limit=wanted, filters=only, with_tokens=True)
            for hit in hits.take(range(len(hits))):
                if hit is not None:
                    found.setdefault(str(hit.payload[TEXT_KEY]), hit)
            left = [key for key in missing if key not in found]
            if len(hits) < wanted or len(left) == len(missing):
                break
            missing = left
        return found


def _taken(found: Sequence[Hits], firsts: NDArray[np.int64], chosen: NDArray[np.int64]) -> list[Hit | None]:
    """Hits by their number among those of several answers, in the order asked for."""
    taken: dict[int, Hit | None] = {}
    for hits, first in zip(found, firsts.tolist(), strict=False):
        own = [i for i in chosen.tolist() if first <= i < first + len(hits)]
        if own:
            taken |= dict(zip(own, hits.take([i - first for i in own]), strict=True))
    return [taken[i] for i in chosen.tolist()]
