"""Candidates that are scored in parts, by whoever, are ranked as one process ranks them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cico_model.config import TOWERS
from cico_platform.encoding.texts import TextQuery
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.candidate_ranking import Candidates, Comparison, Scored, merge, score_candidates
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.ranking import Ranked, Ranking, Stages
from cico_platform.index.spread_ranking import Score, SpreadRanking
from cico_platform.index.token_store.row_numbers import split

CLIPS, DIM, WRITES = 90, 16, 5
CONFIG = TOWERS["tiny"]
WORDS = [("a", [0]), ("b", [2])]
QUERIES = [
    TextQuery(
        np.random.default_rng(seed).normal(size=(3 + seed, DIM)).astype(np.float32), [("a", [0]), ("b", [2])]
    )
    for seed in range(4)
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorIndex]:
    """Several segments; some clips have the same tokens, so that their scores are the same."""
    rng = np.random.default_rng(7)
    clips = []
    for number in range(CLIPS):
        length = int(rng.integers(1, 9))
        tokens = rng.normal(size=(length, DIM)).astype(np.float32)
        if number % 10 == 9:
            tokens = clips[-1].tokens
        signer = "A" if number % 3 else "B"
        clips.append(IndexedClip(f"clip-{number}", tokens, {"signer": signer, "fps": 25.0, "duration": 3.0}))
    with open_index(str(tmp_path_factory.mktemp("index"))) as opened:
        opened.create("c", DIM)
        for first in range(0, CLIPS, CLIPS // WRITES):
            opened.upsert("c", clips[first : first + CLIPS // WRITES])
        yield opened


def parts_of(candidates: Candidates, parts: int) -> list[NDArray[np.int64]]:
    """Candidates by their segments."""
    segment = split(candidates.rows)[0] % np.uint64(parts)
    return [np.flatnonzero(segment == part) for part in range(parts)]


def in_parts(parts: int) -> Score:
    def score(table: CollectionTokens, candidates: Candidates, how: Comparison) -> list[Scored]:
        return [score_candidates(table, candidates.only(part), how) for part in parts_of(candidates, parts)][
            ::-1
        ]

    return score


def told(ranked: list[Ranked]) -> list[tuple[str, float, list[tuple[str, float, float]]]]:
    return [(one.hit.video_id, one.score, [(w.word, w.start, w.end) for w in one.words]) for one in ranked]


@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize(
    ("limit", "offset", "stages", "filters"),
    [
        (10, 0, Stages(), None),
        (10, 20, Stages(), None),
        (5, 0, Stages(candidates=40, rerank=20), None),
        (7, 14, Stages(candidates=40, rerank=8), Filters(signer="A")),
        (100, 60, Stages(candidates=10, rerank=10), None),
        (3, 200, Stages(), None),
        (4, 0, Stages(), Filters(signer="nobody")),
    ],
)
def test_answers_are_those_of_one_process(
    index: VectorIndex, parts: int, limit: int, offset: int, stages: Stages, filters: Filters | None
) -> None:
    whole = Ranking(index, "c", CONFIG, stages)
    spread = SpreadRanking(index, "c", CONFIG, in_parts(parts), stages)
    for query in QUERIES:
        one, other = (told(ranking.by_text(query, limit, filters, offset)) for ranking in (whole, spread))
        assert [(name, words) for name, _, words in one] == [(name, words) for name, _, words in other]
        assert [score for _, score, _ in one] == pytest.approx([score for _, score, _ in other], abs=2e-6)


def test_ties_keep_the_order_of_the_candidates_whoever_scored_them() -> None:
    rows = np.array([30, 10, 20, 40], np.uint64)
    candidates = Candidates(rows, np.ones(4, np.float32))

    def scored(chosen: list[int]) -> Scored:
        same = np.ones(len(chosen), np.float32)
        return Scored(rows[chosen], same, same, {})

    for parts in ([[0, 1, 2, 3]], [[2, 3], [0, 1]], [[3], [2], [1], [0]], [[1, 2], [], [0, 3]]):
        best = merge(candidates, [scored(part) for part in parts], block=3, offset=0, limit=4)
        assert [one.row for one in best] == rows.tolist()


def test_clips_that_die_while_they_are_ranked_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    clips = [IndexedClip(f"clip-{i}", rng.normal(size=(4, DIM)).astype(np.float32), {}) for i in range(6)]
    with open_index(str(tmp_path / "index")) as index:
        index.create("c", DIM)
        index.upsert("c", clips)

        def score(table: CollectionTokens, candidates: Candidates, how: Comparison) -> list[Scored]:
            index.delete("c", ["clip-2"])
            return [score_candidates(table, candidates, how)]

        names = {one.hit.video_id for one in SpreadRanking(index, "c", CONFIG, score).by_text(QUERIES[0], 10)}
        assert names == {clip.video_id for clip in clips} - {"clip-2"}
