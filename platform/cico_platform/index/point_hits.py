"""Hits of a search, whose payloads and tokens are read when they are looked at."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import CicoError
from cico_platform.index.clips import Filters, Hit, Hits, Payload, Tokens
from cico_platform.index.mapped_tokens import Compared, compare, second_scores
from cico_platform.index.points import Fields, Found, Points, Record
from cico_platform.index.token_store.row_numbers import as_rows

NO_HITS = Hits(0, lambda i: Hit(0.0, {}))
# Clips that are asked for by name at once.
NAMES = 256


class PointHits:
    """Makes hits of the points that a query found, best first.

    Parameters
    ----------
    rows, scores
        Of the points: ids, and what they are ranked by.
    names
        Their clips, where the answer held them.
    compared
        Their products with the query, where they were computed.
    """

    def __init__(
        self,
        points: Points,
        rows: Sequence[int],
        scores: NDArray[np.float32],
        with_tokens: bool,
        names: Sequence[str] | None = None,
        compared: Compared | None = None,
    ) -> None:
        self.points, self.rows, self.scores, self.with_tokens = points, rows, scores, with_tokens
        self.names, self.compared = names, compared

    def hits(self) -> Hits:
        """As the index gives them."""
        if self.compared is None:
            return Hits(len(self.rows), self._hit, take=self._take)
        products, lengths = self.compared.products, self.compared.counts
        return Hits(len(self.rows), self._hit, products, lengths, take=self._take)

    def _hit(self, i: int, payload: Payload | None = None) -> Hit:
        row = self.rows[i]
        return Hit(
            float(self.scores[i]),
            partial(self._payload, row) if payload is None else payload,
            partial(self.points.tokens().read, row) if self.with_tokens else None,
            None if self.compared is None else self.compared.of(i),
            None if self.names is None else self.names[i],
        )

    def _take(self, chosen: Sequence[int]) -> list[Hit | None]:
        """Several with their payloads, in one call; None for one that was deleted meanwhile."""
        payloads = self.points.payloads([self.rows[i] for i in chosen])
        return [self._hit(i, payloads[self.rows[i]]) if self.rows[i] in payloads else None for i in chosen]

    def _payload(self, row: int) -> Payload:
        found = self.points.payloads([row])
        if row not in found:
            raise CicoError("a clip was deleted while it was being searched for")
        return found[row]


def query_hits(
    points: Points,
    tokens: Tokens,
    limit: int,
    candidates: int | None,
    filters: Filters | None,
    with_tokens: bool,
) -> Hits:
    """The nearest clips, best first; parameters as of `VectorIndex.query`."""
    if candidates is None:
        return _as_found(points, points.nearest(tokens, limit, filters, names=True), with_tokens)
    found = points.nearest(tokens, max(candidates, limit), filters, names=False)
    return _likeliest(points, found, tokens, limit, with_tokens)


def fetched(
    points: Points,
    video_ids: Sequence[str] | None,
    filters: Filters | None,
    tokens: bool,
    fields: Sequence[str] | None,
) -> Iterator[Hit]:
    """Clips by name, in the order of the names, or by filters; parameters as of `VectorIndex.fetch`."""
    read: Fields = "all" if fields is None else fields
    if video_ids is None:
        for page in points.scroll(filters, read):
            yield from _with_tokens(points, page, tokens)
        return
    for first in range(0, len(video_ids), NAMES):
        asked = list(video_ids[first : first + NAMES])
        listed = {
            hit.video_id: hit
            for page in points.of_clips(asked, read)
            for hit in _with_tokens(points, page, tokens)
        }
        yield from (listed[name] for name in asked if name in listed)


def _with_tokens(points: Points, page: Sequence[Record], tokens: bool) -> list[Hit]:
    """The points of a page that hold living clips, their tokens read together."""
    records = points.only_living(page)
    if not tokens:
        return [Hit(0.0, record.payload) for record in records]
    found = points.tokens().gather(as_rows([record.row for record in records]))
    parts = np.split(found.tokens, np.cumsum(found.lengths)[:-1]) if len(found.rows) else []
    own = dict(zip(found.rows.tolist(), parts, strict=True))
    # One that has died since is left out.
    return [Hit(0.0, record.payload, own[record.row]) for record in records if record.row in own]


def _as_found(points: Points, found: Found, with_tokens: bool) -> Hits:
    """The engine's answer in its order, without clips that do not live any more."""
    kept = found.only(points.living(found.rows))
    return PointHits(points, kept.rows.tolist(), kept.scores, with_tokens, kept.names).hits()


def _likeliest(points: Points, found: Found, tokens: Tokens, limit: int, with_tokens: bool) -> Hits:
    """Of candidates whose encoding is near to the tokens' [Q, D], the best by MaxSim and encoding."""
    if not len(found.rows):
        return NO_HITS
    read = points.tokens().gather(found.rows)
    encoding = found.scores
    if len(read.rows) < len(found.rows):
        lives = np.isin(found.rows, read.rows)
        points.expect_dead(found.rows[~lives])
        encoding = encoding[lives]
        if not len(read.rows):
            return NO_HITS
    compared = compare(read.tokens, read.lengths, tokens)
    scores = second_scores(compared, tokens, encoding)
    rows = read.rows.tolist()
    order = np.argsort(-scores, kind="stable")[:limit]
    best = [rows[i] for i in order]
    return PointHits(points, best, scores[order], with_tokens, compared=compared.ordered(order)).hits()
