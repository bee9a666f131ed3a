"""How many searches a service takes at the same time: as many as its cores can answer in good time."""

import math
import os
from dataclasses import dataclass

# The limit falls where searches take more than so many times as long as one that is alone.
TOLERANCE = 1.75
DECREASE, INCREASE = 0.9, 0.5
# How much a new time counts in the average of a search that is alone, and in that of all.
ALONE_SHARE, SHARE = 0.1, 0.2
FEWEST_SAMPLES = 16


def cores() -> int:
    """Return the number of cores that this process may use.

    A group's limit of CPU time is not known here: the limit follows it by the time that searches take.
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def first_limit(parallel: int) -> int:
    """Return the searches that are taken before any was measured: one a core, and half as many that wait.

    >>> [first_limit(cores) for cores in (1, 2, 4, 16)]
    [2, 3, 6, 24]
    """
    return parallel + max(1, parallel // 2)


@dataclass(frozen=True)
class Place:
    """A search that was taken: when, and whether it was alone."""

    began: float
    alone: bool


class AdaptiveLimit:
    """Additive increase, multiplicative decrease by latency, as TCP does by loss.

    A service that takes more searches than it has cores answers each of them later and none of them sooner.
    The limit grows while it is reached and searches take up to 1.75 times as long as one that is alone;
    it falls as soon as they do. So the wait for others stays shorter than the search itself, however many
    cores there are, and whatever else runs on them.

    Parameters
    ----------
    parallel
        How many searches can be worked on at the same time: cores, or rankers.
    fixed
        Take so many instead, whatever is measured.
    """

    def __init__(self, parallel: int, fixed: int | None = None) -> None:
        self._fixed, self._least = fixed, max(2, parallel // 2)
        self._limit = float(first_limit(parallel))
        self._most = 8.0 * parallel
        self.taken = 0
        self._alone: float | None = None
        self._recent: float | None = None
        self._samples = 0
        self._reached = False
        self._refused = False

    def load(self) -> float:
        """Return the share of places that are taken; 1 if any search was refused since the last call."""
        refused, self._refused = self._refused, False
        return 1.0 if refused else min(1.0, self.taken / self.limit)

    @property
    def limit(self) -> int:
        """How many searches are taken at the same time now."""
        return self._fixed if self._fixed is not None else math.floor(self._limit)

    def take(self, now: float) -> Place | None:
        """Return a place for a search that begins, None if all are taken."""
        if self.taken >= self.limit:
            self._reached = self._refused = True
            return None
        self.taken += 1
        self._reached = self._reached or self.taken >= self.limit
        return Place(now, self.taken == 1)

    def give_back(self, place: Place, now: float, measured: bool = True) -> None:
        """End a search; one that failed or was given up is not `measured`."""
        self.taken -= 1
        if not measured:
            return
        seconds = now - place.began
        # Others may have come meanwhile, so that the shortest of them count most.
        if place.alone:
            self._alone = seconds if self._alone is None else self._shorter(seconds)
        self._recent = seconds if self._recent is None else _moved(self._recent, seconds, SHARE)
        self._samples += 1
        if self._samples >= max(FEWEST_SAMPLES, self.limit):
            self._adjust()

    def _shorter(self, seconds: float) -> float:
        assert self._alone is not None
        return min(seconds, _moved(self._alone, seconds, ALONE_SHARE))

    def _adjust(self) -> None:
        reached, self._reached, self._samples = self._reached, False, 0
        if self._alone is None or self._recent is None:
            return
        if self._recent > TOLERANCE * self._alone:
            self._limit = max(self._least, self._limit * DECREASE)
        elif reached:
            self._limit = min(self._most, self._limit + INCREASE)


def _moved(average: float, value: float, share: float) -> float:
    return average + share * (value - average)
