"""Hits of a search on a Qdrant server, whose payloads and tokens are read when they are looked at."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_platform.errors import CicoError
from cico_platform.index.clips import Hit, Hits, Payload, Tokens
from cico_platform.index.mapped_tokens import Compared, compare, second_scores
from cico_platform.index.server_messages import VIDEO_ID
from cico_platform.index.server_points import ServerPoints
from cico_platform.index.token_store.row_numbers import as_rows

NO_HITS = Hits(0, lambda i: Hit(0.0, {}))


class ServerHits:
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
        points: ServerPoints,
        rows: Sequence[int],
        scores: Sequence[float] | NDArray[np.float32],
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
            partial(self.points.collection.tokens().read, row) if self.with_tokens else None,
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


def as_found(points: ServerPoints, found: Any, with_tokens: bool) -> Hits:
    """The server's answer in its order, without clips that do not live any more."""
    found = points.only_living(found)
    rows, scores = [point.id.num for point in found], [point.score for point in found]
    named = [point.payload[VIDEO_ID].string_value for point in found if VIDEO_ID in point.payload]
    return ServerHits(points, rows, scores, with_tokens, named if len(named) == len(rows) else None).hits()


def likeliest(points: ServerPoints, found: Any, tokens: Tokens, limit: int, with_tokens: bool) -> Hits:
    """Of candidates whose encoding is near to the tokens' [Q, D], the best by MaxSim and encoding."""
    if not found:
        return NO_HITS
    asked = as_rows([point.id.num for point in found])
    encoding = np.array([point.score for point in found], np.float32)
    read = points.collection.tokens().gather(asked)
    lives = np.isin(asked, read.rows)
    points.expect_dead(asked[~lives])
    if not len(read.rows):
        return NO_HITS
    ends = np.cumsum(read.lengths)
    places = list(zip((ends - read.lengths).tolist(), read.lengths.tolist(), strict=True))
    compared = compare(read.tokens, places, tokens)
    scores = second_scores(compared, tokens, encoding[lives])
    rows = read.rows.tolist()
    order = np.argsort(-scores, kind="stable")[:limit]
    best = [rows[i] for i in order]
    return ServerHits(points, best, scores[order], with_tokens, compared=compared.ordered(order)).hits()
