"""The number of searches that are taken follows the cores and the time that searches take."""

from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest

from cico_platform.serving.limits import AdaptiveLimit, Place, first_limit

SECONDS = 0.012


@dataclass
class Load:
    """What became of a load: the share of the machine that was of use, and the times of answers."""

    used: float
    times: list[float]
    limits: list[int]
    refused: int

    @property
    def p99(self) -> float:
        return float(np.percentile(self.times, 99))


@dataclass
class Machine:
    """Cores that searches share, on a clock of its own; `useful` of them are of use to one process."""

    cores: int
    limit: AdaptiveLimit
    useful: float = 0.0
    now: float = 0.0
    random: Random = field(default_factory=lambda: Random(0))

    def load(self, share: float, searches: int) -> Load:
        """So many searches, at a share of what can be done; they come at random times."""
        able = min(self.cores, self.useful or self.cores)
        rate = share * able / SECONDS
        began, arrival, sent = self.now, self.now, 0
        running: dict[int, tuple[float, Place]] = {}
        found = Load(0.0, [], [], 0)
        while sent < searches or running:
            speed = min(len(running), able) / len(running) if running else 0.0
            first = min(running, key=lambda one: running[one][0]) if running else -1
            ends = self.now + running[first][0] / speed if running else float("inf")
            comes = arrival if sent < searches else float("inf")
            passed = min(ends, comes) - self.now
            self.now += passed
            running = {one: (left - passed * speed, place) for one, (left, place) in running.items()}
            if comes <= ends:
                place = self.limit.take(self.now)
                if place is None:
                    found.refused += 1
                else:
                    running[sent] = SECONDS * self.random.uniform(0.8, 1.2), place
                sent, arrival = sent + 1, arrival + self.random.expovariate(rate)
            else:
                _, place = running.pop(first)
                self.limit.give_back(place, self.now)
                found.times.append(self.now - place.began)
                found.limits.append(self.limit.limit)
        found.used = len(found.times) * SECONDS / able / (self.now - began)
        return found


@pytest.mark.parametrize("useful", [1.0, 0.6], ids=["", "a-lock-costs-two-fifths"])
@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8, 16, 32, 64])
def test_on_any_number_of_cores_twice_the_capacity_is_no_more_than_twice_as_late(
    cores: int, useful: float
) -> None:
    machine = Machine(cores, AdaptiveLimit(cores), max(1.0, useful * cores))
    machine.load(0.3, 300)
    machine.load(2.0, 2000)
    most, twice = machine.load(0.8, 3000), machine.load(2.0, 6000)
    assert twice.p99 < 2 * most.p99
    assert twice.used > 0.88
    assert twice.refused > 0.4 * 6000
    assert max(twice.limits) <= 2 * cores + 3


def test_before_anything_was_measured_it_follows_the_cores() -> None:
    for cores in (1, 2, 8, 64):
        limit = AdaptiveLimit(cores)
        taken = [limit.take(0.0) for _ in range(3 * cores + 5)]
        assert len([place for place in taken if place]) == limit.limit == first_limit(cores) > cores


def test_it_falls_when_cores_are_taken_away_and_grows_when_they_come_back() -> None:
    machine = Machine(16, AdaptiveLimit(16))
    machine.load(0.3, 300)
    before = machine.load(2.0, 4000).limits[-1]
    machine.cores = 4
    during = machine.load(2.0, 4000).limits[-1]
    machine.cores = 16
    after = machine.load(2.0, 4000).limits[-1]
    assert during <= before / 2 <= after


def test_a_fixed_number_stays_whatever_is_measured() -> None:
    machine = Machine(4, AdaptiveLimit(4, fixed=50))
    machine.load(0.3, 100)
    assert set(machine.load(2.0, 2000).limits) == {50}


def test_searches_that_failed_are_not_measured() -> None:
    limit = AdaptiveLimit(2)
    for seconds, measured in [(1.0, True)] * 20 + [(100.0, False)] * 100:
        place = limit.take(0.0)
        assert place is not None
        limit.give_back(place, seconds, measured)
    assert (limit.limit, limit.taken) == (first_limit(2), 0)


def test_its_load_is_the_share_of_places_that_are_taken_or_all_where_a_search_was_refused() -> None:
    limit = AdaptiveLimit(4, fixed=4)
    places = [limit.take(0.0) for _ in range(3)]
    assert limit.load() == 0.75
    assert limit.take(0.0)
    assert limit.take(0.0) is None
    for place in places:
        assert place is not None
        limit.give_back(place, 1.0)
    assert [limit.load(), limit.load()] == [1.0, 0.25]
