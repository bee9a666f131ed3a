"""Ranking of candidates apart from the engine: by their tokens alone, in parts that can be merged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cico_model.ragged import product_scores
from cico_platform.index.clips import Tokens
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.mapped_tokens import compare, second_scores
from cico_platform.index.token_store.row_numbers import Rows, as_rows

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """Clips whose encoding is near to a text's.

    Attributes
    ----------
    rows
        uint64 [n]: in the token store.
    encoding
        float32 [n]: cosines of encodings.
    """

    rows: Rows
    encoding: Float

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, chosen: NDArray[np.integer]) -> "Candidates":
        """Return these of them."""
        return Candidates(self.rows[chosen], self.encoding[chosen])


@dataclass(frozen=True)
class Comparison:
    """Query tokens and parameters with which candidates are scored.

    Attributes
    ----------
    tokens
        float [Q, D]: the text's.
    weight, temperature
        Of the model's similarity.
    shown
        Of so many candidates, the best, the products are wanted as well.
    """

    tokens: Tokens
    weight: float
    temperature: float
    shown: int


@dataclass(frozen=True)
class Scored:
    """Candidates that live, in the order in which they came, with their scores.

    Attributes
    ----------
    rows
        uint64 [n].
    likely
        float32 [n]: MaxSim and encoding together.
    exact
        float32 [n]: the model's similarity.
    products
        float32 [Q, T] of the best by `exact`, by row.
    """

    rows: Rows
    likely: Float
    exact: Float
    products: dict[int, Float]


class Best(NamedTuple):
    """A clip that is shown: its row, its score, and its products if they are known."""

    row: int
    score: float
    products: Float | None


NOTHING = Scored(as_rows([]), np.zeros(0, np.float32), np.zeros(0, np.float32), {})


def score_candidates(table: CollectionTokens, candidates: Candidates, how: Comparison) -> Scored:
    """Score all candidates that live. Pure: the same whichever process does it, and however often."""
    read = table.gather(candidates.rows)
    if not len(read.rows):
        return NOTHING
    encoding = candidates.encoding
    if len(read.rows) < len(candidates):
        encoding = encoding[np.isin(candidates.rows, read.rows)]
    compared = compare(read.tokens, read.lengths, how.tokens)
    likely = second_scores(compared, how.tokens, encoding)
    exact = product_scores(compared.products, compared.counts, weight=how.weight, temperature=how.temperature)
    best = np.argsort(-exact, kind="stable")[: how.shown].tolist()
    # A view would be sent with all that it is a part of.
    products = {int(read.rows[i]): np.ascontiguousarray(compared.of(i)) for i in best}
    return Scored(read.rows, likely, exact, products)


def merge(candidates: Candidates, parts: Sequence[Scored], block: int, offset: int, limit: int) -> list[Best]:
    """Return the best of all parts, without the first `offset`.

    Candidates are ordered by MaxSim and encoding first; each `block` of that order is then ordered exactly.
    Ties keep the order of the candidates, so that it does not matter who scored which of them.
    """
    rows = np.concatenate([part.rows for part in parts]) if parts else as_rows([])
    if not len(rows):
        return []
    likely, exact = (np.concatenate([getattr(part, name) for part in parts]) for name in ("likely", "exact"))
    came = np.argsort(candidates.rows, kind="stable")
    position = came[np.searchsorted(candidates.rows, rows, sorter=came)]
    wanted = -(-(offset + limit) // block) * block
    order = np.lexsort((position, -likely))[:wanted]
    order = order[np.lexsort((-exact[order], np.arange(len(order)) // block))][offset : offset + limit]
    known = {row: products for part in parts for row, products in part.products.items()}
    return [
        Best(row, float(exact[i]), known.get(row)) for i, row in zip(order, rows[order].tolist(), strict=True)
    ]
