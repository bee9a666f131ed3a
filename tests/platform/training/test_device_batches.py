"""Batches come in their order, whoever builds them and however far ahead."""

import threading
from collections.abc import Iterator

import pytest
import torch

from cico_platform.training.data.device_batches import built_ahead, on_device, taken_ahead

CPU = torch.device("cpu")


def counting(built: list[int], last: int = 6, fails_at: int = -1) -> Iterator[int]:
    for number in range(last):
        if number == fails_at:
            raise ValueError("the batch is damaged")
        built.append(number)
        yield number


@pytest.mark.parametrize("ahead", [1, 3, 20])
def test_items_come_in_order_and_no_more_are_taken_than_allowed(ahead: int) -> None:
    built: list[int] = []
    for seen, number in enumerate(taken_ahead(counting(built), ahead)):
        assert number == seen
        assert len(built) <= seen + 1 + ahead
    assert built == list(range(6))


def test_an_error_comes_where_its_batch_would() -> None:
    taking = taken_ahead(counting([], fails_at=3), 2)
    assert [next(taking) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the batch is damaged"):
        next(taking)


def test_whoever_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    built: list[int] = []
    taking = taken_ahead(counting(built, last=1000), 2)
    assert next(taking) == 0
    taking.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(built) <= 4


def test_on_a_cpu_a_batch_is_built_when_it_is_asked_for() -> None:
    built: list[int] = []
    tensors = ((number, (torch.tensor(number), None)) for number in counting(built))
    for seen, (number, (value, absent)) in enumerate(on_device(built_ahead(tensors, CPU), CPU)):
        assert (number, int(value), absent) == (seen, seen, None)
        assert len(built) == seen + 1
