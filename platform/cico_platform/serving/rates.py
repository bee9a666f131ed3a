"""How often a client may ask: counted in one process, or shared by several that borrow from one ledger."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

# Clients whose rate is remembered; one that is forgotten starts with a full bucket.
REMEMBERED = 10_000
# Requests of a client that a process lets through before the ledger has answered.
ADVANCE = 1
# A client's burst is borrowed in so many parts.
PARTS = 4
# Longest that the ledger may take, and how long a process counts alone when it took longer.
ANSWER_SECONDS, ALONE_SECONDS = 1.0, 5.0


class Rates(Protocol):
    """Counts requests of clients."""

    def take(self, client: str, per_minute: float) -> float:
        """Return 0 if a request may pass now; otherwise the seconds after which one may."""


class TokenBucket:
    """Lets `burst` requests through at once, and `per_minute` in the long run.

    Examples
    --------
    >>> bucket = TokenBucket(per_minute=60, burst=2, now=0.0)
    >>> bucket.take(0.0), bucket.take(0.0), bucket.take(0.0), bucket.take(1.0)
    (0.0, 0.0, 1.0, 0.0)
    """

    def __init__(self, per_minute: float, burst: int, now: float) -> None:
        self.per_second, self.burst = per_minute / 60, burst
        self._tokens, self._at = float(burst), now

    def take(self, now: float) -> float:
        """0 if a request may pass now; otherwise the seconds after which one may."""
        self._fill(now)
        if self._tokens < 1:
            return (1 - self._tokens) / self.per_second
        self._tokens -= 1
        return 0.0

    def borrow(self, owed: int, more: int, now: float) -> tuple[int, float]:
        """Charge what was `owed`, into debt if need be, and lend as many of `more` as there are.

        Returns
        -------
        tuple
            How many are lent, and, if none is, the seconds after which one may be.

        >>> TokenBucket(per_minute=60, burst=2, now=0.0).borrow(1, 4, 0.0)
        (1, 0.0)
        >>> TokenBucket(per_minute=60, burst=2, now=0.0).borrow(3, 1, 0.0)
        (0, 2.0)
        """
        self._fill(now)
        self._tokens -= owed
        lent = min(more, max(0, int(self._tokens)))
        self._tokens -= lent
        return lent, 0.0 if lent else (1 - self._tokens) / self.per_second

    def _fill(self, now: float) -> None:
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_second)
        self._at = now


class Buckets:
    """Token buckets of clients, the latest `REMEMBERED` of them."""

    def __init__(self, burst: int) -> None:
        self.burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def of(self, client: str, per_minute: float, now: float) -> TokenBucket:
        """Return a client's bucket; it is new where the client's rate has changed."""
        bucket = self._buckets.pop(client, None)
        if bucket is None or bucket.per_second != per_minute / 60:
            bucket = TokenBucket(per_minute, self.burst, now)
        self._buckets[client] = bucket
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket


class OwnRates:
    """Counts what this process answers."""

    def __init__(self, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets, self._clock = Buckets(burst), clock

    def take(self, client: str, per_minute: float) -> float:
        """Return 0 if a request may pass now; otherwise the seconds after which one may."""
        now = self._clock()
        return self._buckets.of(client, per_minute, now).take(now)


class Wanted(NamedTuple):
    """Request of a process to the ledger: see `TokenBucket.borrow`."""

    client: str
    per_minute: float
    owed: int
    more: int


class Ledger:
    """Lends requests to all processes of a service."""

    def __init__(self, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets, self._clock = Buckets(burst), clock

    async def borrow(self, wanted: Wanted) -> tuple[int, float]:
        """Return what `TokenBucket.borrow` does."""
        now = self._clock()
        return self._buckets.of(wanted.client, wanted.per_minute, now).borrow(wanted.owed, wanted.more, now)


@dataclass
class _Account:
    """What a process has borrowed for a client, and what it let through before it could."""

    lent: int = 0
    owed: int = 0
    empty_until: float = 0.0
    alone_until: float = 0.0
    asking: "asyncio.Task[None] | None" = field(default=None, repr=False)


class SharedRates:
    """Counts with other processes: borrows a client's requests from a ledger, some at a time.

    No request waits for the ledger. The first one of a client passes before it has answered, and is charged
    afterwards, so that so many processes let no more than so many requests too many through, once. Where
    the ledger does not answer, each process counts alone for a while.

    Parameters
    ----------
    borrow
        Asks the ledger.
    alone
        Called for each request that was counted here alone.
    """

    def __init__(
        self,
        borrow: Callable[[Wanted], Awaitable[tuple[int, float]]],
        burst: int,
        alone: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._borrow, self._burst, self._alone, self._clock = borrow, burst, alone, clock
        self._own = OwnRates(burst, clock)
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def take(self, client: str, per_minute: float) -> float:
        """Return 0 if a request may pass now; otherwise the seconds after which one may."""
        now, account = self._clock(), self._account(client)
        if account.alone_until > now:
            self._alone()
            return self._own.take(client, per_minute)
        wait = 0.0
        if account.lent:
            account.lent -= 1
        elif account.empty_until > now:
            return account.empty_until - now
        elif account.owed < ADVANCE:
            account.owed += 1
        else:
            wait = ANSWER_SECONDS  # the ledger is being asked
        if not account.lent and account.asking is None:
            account.asking = asyncio.ensure_future(self._ask(client, per_minute, account))
        return wait

    async def _ask(self, client: str, per_minute: float, account: _Account) -> None:
        owed = account.owed
        try:
            asked = self._borrow(Wanted(client, per_minute, owed, max(1, self._burst // PARTS)))
            lent, wait = await asyncio.wait_for(asked, ANSWER_SECONDS)
            account.lent += lent
            account.owed -= owed
            account.empty_until = self._clock() + wait
        except Exception:
            account.owed = 0
            account.alone_until = self._clock() + ALONE_SECONDS
        finally:
            account.asking = None

    def _account(self, client: str) -> _Account:
        account = self._accounts.pop(client, None) or _Account()
        self._accounts[client] = account
        if len(self._accounts) > REMEMBERED:
            self._accounts.popitem(last=False)
        return account
