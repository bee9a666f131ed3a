"""How many candidates a search ranks: enough for the collection's size, whatever that becomes."""

from pathlib import Path

import numpy as np
import pytest

from cico_model.config import TOWERS
from cico_platform.index.candidates import LEAST, MOST, candidates_for
from cico_platform.index.clips import IndexedClip
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.ranking import Ranking, Stages


def test_they_grow_with_the_collection_more_slowly_than_it_does() -> None:
    sizes = [0, 1, 10**3, 10**4, 2 * 10**4, 10**5, 2 * 10**5, 10**6, 10**7, 10**9]
    found = [candidates_for(size) for size in sizes]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (LEAST, MOST)
    for size, few, ten_times in zip(sizes, found, map(candidates_for, [10 * n for n in sizes]), strict=True):
        assert ten_times <= 4.5 * few, f"{size} clips"


def test_a_collection_that_grows_a_little_is_searched_as_before() -> None:
    assert len({candidates_for(size) for size in range(190_000, 191_000, 50)}) == 1


class _Claimed(EmbeddedIndex):
    """An index that says that it holds more clips than it does."""

    claimed = 0

    def size(self, collection: str) -> int:
        return self.claimed


def test_each_search_takes_as_many_as_suit_the_collection_then(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [IndexedClip(str(i), rng.normal(size=(3, 8)).astype(np.float16), {}) for i in range(30)]
    with _Claimed(tmp_path / "index") as index:
        index.create("c", 8)
        index.upsert("c", clips)
        ranking = Ranking(index, "c", TOWERS["tiny"])
        assert (ranking.stages.candidates, ranking.stages.rerank) == (LEAST, LEAST)
        index.claimed = 200_000
        assert ranking.stages.candidates == candidates_for(200_000) > LEAST
        assert ranking.stages.rerank == ranking.stages.candidates
        given = Ranking(index, "c", TOWERS["tiny"], Stages(candidates=40, rerank=10))
        assert (given.stages.candidates, given.stages.rerank) == (40, 10)


@pytest.mark.parametrize("many", [1, 25])
def test_an_index_knows_its_size_without_being_asked(tmp_path: Path, many: int) -> None:
    tokens = np.ones((2, 8), np.float16)
    with EmbeddedIndex(tmp_path / "index") as index:
        index.create("c", 8)
        assert index.size("c") == 0
        index.upsert("c", [IndexedClip(str(i), tokens, {}) for i in range(many)])
        assert index.size("c") == many
