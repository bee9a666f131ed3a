"""Who may ask, and how often: API keys and rates, before a request is read."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cico_platform.errors import InputError
from cico_platform.serving.envelope import log
from cico_platform.serving.keys import Key, KeyRing
from cico_platform.serving.problems import ProblemError, problem_response
from cico_platform.serving.settings import ServiceSettings

GUARDED = "/v1/"
# Clients whose rate is remembered; one that is forgotten starts with a full bucket.
REMEMBERED = 10_000


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
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_second)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self.per_second
        self._tokens -= 1
        return 0.0


class Guard:
    """Answers 401 without a key where keys are needed, and 429 to whoever asks too often."""

    def __init__(
        self, app: ASGIApp, settings: ServiceSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app, self.settings, self.clock = app, settings, clock
        self.ring = None if settings.keys is None else KeyRing(settings.keys)
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            scope["cico_client"] = self._admit(request)
        except ProblemError as error:
            await problem_response(request, error.status, error.detail, **error.extra)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admit(self, request: Request) -> str:
        """Who asks: a key's id, or an address.

        Raises
        ------
        ProblemError
            401, 429, or 503 if the keys can't be read.
        """
        key = self._key(request)
        client = key.id if key else (request.client.host if request.client else "unknown")
        rate = (key.per_minute if key else None) or self.settings.per_minute
        if rate is not None:
            self._count(client, rate)
        return client

    def _key(self, request: Request) -> Key | None:
        if self.ring is None:
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        sent = request.headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not sent:
            raise ProblemError(401, "this service needs an API key: send 'Authorization: Bearer KEY'")
        try:
            key = self.ring.find(sent)
        except InputError:
            log.exception("the keys can't be read")
            raise ProblemError(503, "the service can't read its keys at the moment") from None
        if key is None:
            raise ProblemError(401, "this API key is not known here, or was removed")
        return key

    def _count(self, client: str, rate: float) -> None:
        now = self.clock()
        bucket = self._buckets.pop(client, None)
        if bucket is None or bucket.per_second != rate / 60:
            bucket = TokenBucket(rate, self.settings.burst, now)
        self._buckets[client] = bucket
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        wait = bucket.take(now)
        if wait:
            raise ProblemError(
                429, f"at most {rate:g} requests a minute are answered", retry_after=max(1, math.ceil(wait))
            )
