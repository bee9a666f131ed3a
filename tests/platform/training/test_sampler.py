"""Batches follow from seed, epoch and step: those of a queue, each video once, no text twice in a batch."""

from collections import deque

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cico_platform.training.data.sampler import Sampler, plan_batches


def queued(order: list[int], texts: list[int], size: int) -> list[list[int]]:
    """The batches, video by video: what would be twice in a batch goes to the end of the queue."""
    waiting, batches = deque(order), []
    while waiting:
        batch: list[int] = []
        for _ in range(len(waiting)):
            if len(batch) == size:
                break
            video = waiting.popleft()
            if any(texts[video] == texts[other] for other in batch):
                waiting.append(video)
            else:
                batch.append(video)
        batches.append(batch)
    return batches


def trained_on(texts: list[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """An epoch's batches without rests that are too small to learn from."""
    order = np.random.default_rng([seed, epoch]).permutation(len(texts)).tolist()
    batches = queued(order, texts, size)
    return [b for b in batches if len(b) >= max(2, size // 4)] or [max(batches, key=len)]


@given(
    st.integers(1, 60).flatmap(lambda most: st.lists(st.integers(0, most), min_size=1, max_size=150)),
    st.integers(1, 20),
    st.integers(0, 99),
)
@example([0] * 40, 4, 0)
@example([0] * 30 + list(range(1, 31)), 4, 0)
@example(list(range(64)), 8, 0)
@settings(deadline=None, max_examples=300)
def test_a_plan_is_what_a_queue_gives(texts: list[int], size: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(texts)).astype(np.int32)
    plan = plan_batches(order, np.array(texts, np.int32), size)
    batches = [plan.batch(number).tolist() for number in range(len(plan))]
    assert batches == queued(order.tolist(), texts, size)
    assert sorted(video for batch in batches for video in batch) == list(range(len(texts)))
    for batch in batches:
        assert len({texts[video] for video in batch}) == len(batch) <= size


@pytest.mark.parametrize("repeated", [1, 3])
def test_epochs_are_those_of_a_queue_whatever_was_asked_before(repeated: int) -> None:
    texts = [number // repeated for number in range(1300)]
    sampler = Sampler(np.array(texts), batch_size=64, seed=7)
    for epoch in (2, 0, 2):
        wanted = trained_on(texts, 64, 7, epoch)
        assert sampler.steps(epoch) == len(wanted)
        found = [sampler.batch(epoch, step).tolist() for step in reversed(range(len(wanted)))]
        assert found[::-1] == wanted
    # A process that only comes for the last step of an epoch gets the same.
    late = Sampler(np.array(texts), batch_size=64, seed=7)
    assert late.batch(2, len(wanted) - 1).tolist() == wanted[-1]
    assert late.total_steps(5) == sum(len(trained_on(texts, 64, 7, epoch)) for epoch in range(5))


def test_seeds_and_epochs_give_other_batches() -> None:
    texts = np.arange(100)
    batches = {
        tuple(Sampler(texts, 10, seed).batch(epoch, 0).tolist()) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(batches) == 4


def test_a_corpus_smaller_than_a_batch_is_one_batch() -> None:
    assert Sampler(np.arange(3), 64, 0).steps(0) == 1
    assert sorted(Sampler(np.arange(3), 64, 0).batch(0, 0).tolist()) == [0, 1, 2]
    assert Sampler(np.zeros(3, np.int64), 64, 0).batch(0, 0).tolist() == trained_on([0, 0, 0], 64, 0, 0)[0]
