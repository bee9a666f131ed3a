"""An open collection of the embedded index: its engine, its tokens, and the first two stages of a search."""

import json
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from cico_platform.errors import CicoError
from cico_platform.index.clips import Hit, Hits, IndexedClip, Payload, Tokens
from cico_platform.index.engine import nearest, nearest_of
from cico_platform.index.mapped_tokens import compare, second_scores
from cico_platform.index.set_encoding import point_vector
from cico_platform.index.token_file import TokenFile
from cico_platform.index.token_places import TokenPlaces

COLLECTION_FILE, TOKENS_FILE, PLACES_FILE = "collection.json", "tokens.f16", "tokens.places"


class OpenCollection(NamedTuple):
    """What a process that owns a collection holds of it.

    Attributes
    ----------
    shard
        The engine.
    tokens, places
        Clips' tokens beside it, and where each point's lie.
    lock
        Held while it is open.
    quantised
        Whether the engine has tokens too, and compares them.
    """

    shard: Any
    tokens: TokenFile
    places: TokenPlaces
    lock: TextIOWrapper
    quantised: bool

    def read(self, point: UUID) -> Tokens:
        """A point's tokens [T, D]."""
        return self.tokens.read(self.places[point])

    def vectors(self, clip: IndexedClip) -> dict[str, Any]:
        """What the engine is given of a clip."""
        vectors: dict[str, Any] = {"pooled": point_vector(clip.tokens).tolist()}
        if self.quantised:
            vectors["tokens"] = clip.tokens.astype("float32").tolist()
        return vectors

    def nearest(self, tokens: Tokens, limit: int, only: Any, with_tokens: bool) -> Hits:
        """The first stage alone: the clips whose encoding is nearest to the tokens' [Q, D]."""
        return self._hits(self.shard.query(nearest(tokens, limit, only, with_payload=True)), with_tokens)

    def likeliest(self, tokens: Tokens, limit: int, candidates: int, only: Any, with_tokens: bool) -> Hits:
        """Two stages: of the candidates whose encoding is nearest, the best by MaxSim and encoding.

        Where tokens are mapped, not quantised, the hits have their products with the query's.
        """
        if self.quantised:
            return self._hits(self.shard.query(nearest_of(tokens, limit, candidates, only)), with_tokens)
        points = self.shard.query(nearest(tokens, candidates, only, with_payload=False))
        if not points:
            return self._hits(points, with_tokens)
        places = [self.places[point.id] for point in points]
        rows = self.tokens.rows(max(first + count for first, count in places))
        compared = compare(rows, places, tokens)
        scores = second_scores(compared, tokens, np.array([point.score for point in points], np.float32))
        order = np.argsort(-scores, kind="stable")[:limit]
        kept = compared.ordered(order)

        def hit(i: int) -> Hit:
            point, place = points[order[i]], places[order[i]]
            read = partial(self.tokens.read, place) if with_tokens else None
            return Hit(float(scores[order[i]]), partial(self._payload, point.id), read, kept.of(i))

        return Hits(len(order), hit, kept.products, kept.counts)

    def _hits(self, points: Any, with_tokens: bool) -> Hits:
        """The engine's answer as it is."""

        def hit(i: int) -> Hit:
            point = points[i]
            payload = point.payload or partial(self._payload, point.id)
            return Hit(point.score, payload, partial(self.read, point.id) if with_tokens else None)

        return Hits(len(points), hit)

    def _payload(self, point: UUID) -> Payload:
        """What a point holds, asked of the engine when someone wants to see it."""
        found = self.shard.retrieve([point], with_payload=True, with_vector=False)
        if not found:
            raise CicoError("a clip was deleted while it was being searched for")
        payload: Payload = found[0].payload
        return payload


def open_collection(folder: Path, shard: Any, lock: TextIOWrapper) -> OpenCollection:
    """The collection in a folder, whose engine is loaded."""
    described = json.loads((folder / COLLECTION_FILE).read_text())
    tokens = TokenFile(folder / TOKENS_FILE, described["dim"])
    # An index of before layout 4 does not say; it is refused when it is searched.
    quantised = described.get("quantization", "none") != "none"
    return OpenCollection(shard, tokens, TokenPlaces(folder / PLACES_FILE), lock, quantised)
