"""A client's rate holds for all processes together, without any request waiting for another process."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cico_platform.serving.rates import (
    ADVANCE,
    ALONE_SECONDS,
    Ledger,
    OwnRates,
    SharedRates,
    TokenBucket,
    Wanted,
)

PER_MINUTE, BURST = 60.0, 8


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


Borrow = Callable[[Wanted], Awaitable[tuple[int, float]]]


def processes(count: int, borrow: Borrow, clock: Clock) -> tuple[list[SharedRates], list[None]]:
    """So many processes, and what each counted alone."""
    alone: list[None] = []
    return [SharedRates(borrow, BURST, lambda: alone.append(None), clock) for _ in range(count)], alone


async def settled() -> None:
    """Let what was begun go on until it is done."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_all_processes_together_let_through_a_burst_and_then_the_rate(count: int) -> None:
    clock = Clock()

    async def main() -> tuple[int, int]:
        sharing, _ = processes(count, Ledger(BURST, clock).borrow, clock)
        passed = []
        for _ in range(60 * 10):
            clock.now += 0.1
            passed.append(sum(rates.take("a", PER_MINUTE) == 0 for rates in sharing))
            await settled()
        return sum(passed[:10]), sum(passed)

    first, whole = asyncio.run(main())
    assert first <= BURST + 1 + count * ADVANCE
    # A minute has its sixty, the burst was full, and what a process has borrowed may lie there unused.
    assert 60 + BURST - count * BURST // 4 <= whole <= 60 + BURST + count * ADVANCE


def test_clients_do_not_share_a_rate_with_each_other() -> None:
    async def main() -> None:
        clock = Clock()
        (one, other), _ = processes(2, Ledger(BURST, clock).borrow, clock)
        for _ in range(3 * BURST):
            one.take("a", PER_MINUTE)
            await settled()
        assert one.take("a", PER_MINUTE) > 0
        assert one.take("b", PER_MINUTE) == other.take("c", PER_MINUTE) == 0

    asyncio.run(main())


def test_a_refused_client_is_told_when_it_may_ask_and_then_may() -> None:
    async def main() -> None:
        clock = Clock()
        (rates,), _ = processes(1, Ledger(BURST, clock).borrow, clock)
        while not (wait := rates.take("a", PER_MINUTE)):
            await settled()
        assert 0 < wait <= 2.0
        clock.now += wait + 0.01
        assert rates.take("a", PER_MINUTE) == 0

    asyncio.run(main())


def test_where_the_ledger_fails_each_process_counts_alone_and_says_so_until_it_answers_again() -> None:
    async def main() -> None:
        clock, broken = Clock(), True
        ledger = Ledger(BURST, clock)

        async def borrow(wanted: Wanted) -> tuple[int, float]:
            if broken:
                raise ConnectionError("it is gone")
            return await ledger.borrow(wanted)

        (rates, other), alone = processes(2, borrow, clock)
        for one in (rates, other):
            assert one.take("a", PER_MINUTE) == 0
            await settled()
            passed = sum(one.take("a", PER_MINUTE) == 0 for _ in range(3 * BURST))
            assert passed == BURST
        assert len(alone) == 2 * 3 * BURST
        broken = False
        clock.now += ALONE_SECONDS + 0.1
        assert rates.take("a", PER_MINUTE) == 0
        await settled()
        assert sum(rates.take("a", PER_MINUTE) == 0 for _ in range(3)) > 0
        assert len(alone) == 2 * 3 * BURST

    asyncio.run(main())


def test_no_request_waits_for_a_ledger_that_does_not_answer() -> None:
    async def main() -> None:
        async def never(wanted: Wanted) -> tuple[int, float]:
            await asyncio.Event().wait()
            raise AssertionError

        (rates,), alone = processes(1, never, Clock())
        answers = [rates.take("a", PER_MINUTE) for _ in range(5)]
        assert answers[:ADVANCE] == [0] * ADVANCE
        assert all(wait > 0 for wait in answers[ADVANCE:])
        await asyncio.sleep(1.2)
        assert rates.take("a", PER_MINUTE) == 0
        assert alone

    asyncio.run(main())


def test_one_process_counts_by_itself() -> None:
    clock = Clock()
    rates = OwnRates(2, clock)
    assert [rates.take("a", 60) for _ in range(3)] == [0, 0, 1.0]
    assert rates.take("a", 120) == 0, "a new rate begins with a full bucket"


def test_a_debt_is_paid_before_anything_is_lent() -> None:
    bucket = TokenBucket(60, 2, 0.0)
    assert bucket.borrow(5, 1, 0.0) == (0, 4.0)
    assert bucket.borrow(0, 1, 3.0) == (0, 1.0)
    assert bucket.borrow(0, 1, 4.0) == (1, 0.0)
