"""Three stages: HNSW finds some thousand, MaxSim keeps the likeliest, the method's similarity ranks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cico_model.alignment import WordSpan, align, attention, window_times, word_spans
from cico_model.config import TowerConfig
from cico_model.ragged import product_scores, ragged_scores, unit_products, unit_rows
from cico_platform.encoding.texts import TextQuery
from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.encoding.video_tokens import pad_rows
from cico_platform.index.base import VectorIndex
from cico_platform.index.clips import Filters, Hit, Hits, Tokens
from cico_platform.index.text_search import TextSearch
from cico_platform.index.texts import query_of


@dataclass(frozen=True)
class Stages:
    """How many leave a stage: clips HNSW (`candidates`) and MaxSim (`rerank`), `texts` a video's first.

    0 candidates grow with the collection (`candidates.candidates_for`), 0 texts with its texts
    (`text_search.TextSearch`); 0 of `rerank` are all candidates: to rank one exactly costs little more than
    its MaxSim.
    """

    candidates: int = 0
    rerank: int = 0
    texts: int = 0

    def of(self, index: VectorIndex, collection: str) -> "Stages":
        """With the 0 of clips replaced."""
        candidates = self.candidates or index.candidates(collection)
        return Stages(candidates, self.rerank or candidates, self.texts)


class Ranked(NamedTuple):
    """A clip that answered: its score, and when the words are signed in it (seconds within the clip)."""

    hit: Hit
    score: float
    words: list[WordSpan]


class Ranking:
    """Ranks the clips of one collection.

    Parameters
    ----------
    config
        Of the retrieval model: how it compares tokens. The index holds no padding, so none takes part.
    """

    def __init__(
        self, index: VectorIndex, collection: str, config: TowerConfig, stages: Stages | None = None
    ) -> None:
        self.index, self.collection, self.config = index, collection, config
        self._stages = stages or Stages()

    @property
    def stages(self) -> Stages:
        """How many leave each stage of a search now."""
        return self._stages.of(self.index, self.collection)

    def by_text(
        self, query: TextQuery, limit: int, filters: Filters | None = None, offset: int = 0
    ) -> list[Ranked]:
        """The clips that say a text, best first, without the first `offset`; the words are the query's.

        The score is `weight` V2T + (1 - `weight`) T2V, a weighted cosine between -1 and 1, not a probability.
        What MaxSim ranks below `rerank` is ranked exactly too, but comes after what it ranks above: so pages
        of one size never repeat or miss a clip.
        """
        stages = self.stages
        block = max(stages.rerank, limit)
        wanted = -(-(offset + limit) // block) * block
        hits = self.index.query(
            self.collection,
            query.tokens,
            limit=wanted,
            candidates=max(stages.candidates, wanted),
            filters=filters,
            with_tokens=True,
        )
        if not hits:
            return []
        scores = _exact(hits, query.tokens, self.config)
        order = np.lexsort((-scores, np.arange(len(hits)) // block))[offset : offset + limit]
        taken = zip(hits.take(order.tolist()), scores[order].tolist(), strict=True)
        best = [(hit, score) for hit, score in taken if hit is not None]
        words = spans([hit for hit, _ in best], query)
        return [Ranked(hit, score, said) for (hit, score), said in zip(best, words, strict=True)]

    def by_video(
        self, query: VideoQuery, limit: int, filters: Filters | None = None, offset: int = 0
    ) -> list[Ranked]:
        """The sentences that a video may sign, as `by_text`, each shown by its clip nearest to the video.

        The score is that of the video with the sentence; the words are the sentence's, in the clip shown.

        Raises
        ------
        CicoError
            If the collection was built without texts.
        """
        stages = self.stages
        search = TextSearch(self.index, self.collection, stages.texts, stages.candidates, self._score_texts)
        ranked = []
        for one in search.find(query.tokens, limit, filters, offset):
            said = query_of(one.text)
            weights = attention(unit_products(tokens_of(one.clip), said.tokens))
            ranked.append(Ranked(one.clip, one.score, _spans(one.clip, said.words, weights)))
        return ranked

    def _score_texts(self, texts: Hits, tokens: Tokens) -> NDArray[np.float32]:
        """`score` of a video with each text: the mirror image of `_exact`."""
        if self.config.pooling != "fine" or texts.products is None or texts.lengths is None:
            return score([tokens], [tokens_of(hit) for hit in texts], self.config)[0, :]
        weight, temperature = 1 - self.config.weight, self.config.temperature
        return product_scores(texts.products, texts.lengths, weight=weight, temperature=temperature)


def tokens_of(hit: Hit) -> Tokens:
    """A hit's tokens; they were asked for."""
    assert hit.tokens is not None
    return hit.tokens


def _exact(hits: Hits, tokens: Tokens, config: TowerConfig) -> NDArray[np.float32]:
    """The method's similarity of each hit with a text, from the products that come with them if they do."""
    if config.pooling != "fine" or hits.products is None or hits.lengths is None:
        return score([tokens_of(hit) for hit in hits], [tokens], config)[:, 0]
    return product_scores(hits.products, hits.lengths, weight=config.weight, temperature=config.temperature)


def score(videos: Sequence[Tokens], texts: Sequence[Tokens], config: TowerConfig) -> NDArray[np.float32]:
    """Score of every video with every text, float32 [V, T]: exactly what the model was trained for."""
    if config.pooling == "mean":
        means = [unit_rows(np.stack([unit_rows(t).mean(axis=0) for t in side])) for side in (videos, texts)]
        return np.asarray(means[0] @ means[1].T, dtype=np.float32)
    if len(videos) == 1:  # the mirror image: the texts lie behind each other
        return _against(texts, videos, 1 - config.weight, config.temperature).T
    return _against(videos, texts, config.weight, config.temperature)


def _against(
    many: Sequence[Tokens], few: Sequence[Tokens], weight: float, temperature: float
) -> NDArray[np.float32]:
    rows, lengths = np.concatenate(many), np.array([len(tokens) for tokens in many])
    return np.stack(
        [ragged_scores(rows, lengths, one, weight=weight, temperature=temperature) for one in few], axis=1
    )


def spans(hits: Sequence[Hit], query: TextQuery) -> list[list[WordSpan]]:
    """When each word of a text is signed in each clip, in seconds within the clip."""
    products = [hit.products for hit in hits if hit.products is not None]
    if len(products) == len(hits):
        return [_spans(hit, query.words, attention(p)) for hit, p in zip(hits, products, strict=True)]
    video, video_valid = pad_rows([tokens_of(hit) for hit in hits])
    text, text_valid = pad_rows([query.tokens] * len(hits))
    weights = align(video, text, video_valid, text_valid).numpy()
    return [_spans(hit, query.words, rows) for hit, rows in zip(hits, weights, strict=True)]


def _spans(hit: Hit, words: Sequence[tuple[str, list[int]]], weights: NDArray[np.float32]) -> list[WordSpan]:
    """One clip's, from the weights of its windows [L, N]; N may be more windows than it has."""
    times, limit = hit_windows(hit), float(hit.payload.get("duration") or 0) or np.inf
    # A clip shorter than a window is filled up with its last frame: nothing is signed after its end.
    return [
        WordSpan(span.word, min(span.start, limit), min(span.end, limit), span.weight)
        for span in word_spans(weights[:, : len(times)], words, times)
    ]


def hit_windows(hit: Hit) -> list[tuple[float, float]]:
    """Start and end of a hit's windows, in seconds within the clip.

    They are in the payload where frames do not follow each other at a constant rate from the clip's start.
    """
    times = hit.payload.get("window_times")
    if times:
        return list(zip(times[::2], times[1::2], strict=True))[: len(tokens_of(hit))]
    fps = float(hit.payload.get("fps") or 0) or 25.0
    starts = [int(start) for start in hit.payload.get("window_starts") or range(len(tokens_of(hit)))]
    return window_times(starts[: len(tokens_of(hit))], fps)
