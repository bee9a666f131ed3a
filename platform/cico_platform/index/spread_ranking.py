"""Ranking of texts whose candidates are scored elsewhere: by rankers, or in parts."""

from collections.abc import Callable

import numpy as np

from cico_model.config import TowerConfig
from cico_platform.encoding.texts import TextQuery
from cico_platform.index.base import VectorIndex
from cico_platform.index.candidate_ranking import (
    Best,
    Candidates,
    Comparison,
    Scored,
    merge,
    score_candidates,
)
from cico_platform.index.clips import Filters
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.mapped_tokens import Compared
from cico_platform.index.point_hits import PointHits
from cico_platform.index.points import Found, Points
from cico_platform.index.ranking import Ranked, Ranking, Stages, spans
from cico_platform.index.token_store.row_numbers import as_rows

Score = Callable[[CollectionTokens, Candidates, Comparison], list[Scored]]


class SpreadRanking(Ranking):
    """Ranks as `Ranking` does, but hands the candidates of a text to `score`.

    Parameters
    ----------
    score
        Scores all candidates that live, in one part or more.
    """

    def __init__(
        self,
        index: VectorIndex,
        collection: str,
        config: TowerConfig,
        score: Score,
        stages: Stages | None = None,
    ) -> None:
        super().__init__(index, collection, config, stages)
        self.score = score

    def by_text(
        self, query: TextQuery, limit: int, filters: Filters | None = None, offset: int = 0
    ) -> list[Ranked]:
        """As `Ranking.by_text`, whose answers these are."""
        if self.config.pooling != "fine":
            return super().by_text(query, limit, filters, offset)
        stages = self.stages
        block = max(stages.rerank, limit)
        wanted = -(-(offset + limit) // block) * block
        points = self.index.points(self.collection)
        found = points.nearest(query.tokens, max(stages.candidates, wanted), filters, names=False)
        if not len(found.rows):
            return []
        candidates = Candidates(found.rows, found.scores)
        how = Comparison(query.tokens, self.config.weight, self.config.temperature, offset + limit)
        parts = self.score(points.tokens(), candidates, how)
        _check_lost(points, found, parts)
        best = merge(candidates, parts, block, offset, limit)
        return _ranked(points, best, how, query)


def _check_lost(points: Points, found: Found, parts: list[Scored]) -> None:
    """Check that candidates which nobody scored are dead; errors as of `Points.expect_dead`."""
    if sum(len(part.rows) for part in parts) < len(found.rows):
        scored = np.concatenate([part.rows for part in parts])
        points.expect_dead(found.rows[~np.isin(found.rows, scored)])


def _ranked(points: Points, best: list[Best], how: Comparison, query: TextQuery) -> list[Ranked]:
    unknown = as_rows([one.row for one in best if one.products is None])
    products = {one.row: one.products for one in best if one.products is not None}
    if len(unknown):  # in no part it was one of the best
        again = Candidates(unknown, np.zeros(len(unknown), np.float32))
        products |= score_candidates(points.tokens(), again, how).products
    best = [one for one in best if one.row in products]  # others died meanwhile
    if not best:
        return []
    chosen = [products[one.row] for one in best]
    counts = np.array([one.shape[1] for one in chosen], np.int64)
    compared = Compared(np.concatenate(chosen, axis=1), np.cumsum(counts) - counts, counts)
    scores = np.array([one.score for one in best], np.float32)
    hits = PointHits(points, [one.row for one in best], scores, with_tokens=True, compared=compared).hits()
    kept = [hit for hit in hits.take(range(len(best))) if hit is not None]
    words = spans(kept, query)
    return [Ranked(hit, hit.score, said) for hit, said in zip(kept, words, strict=True)]
