"""Who may ask, and how often: API keys and rates, before a request is read."""

import math

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cico_platform.errors import InputError
from cico_platform.serving.envelope import log
from cico_platform.serving.keys import Key, KeyRing
from cico_platform.serving.problems import ProblemError, problem_response
from cico_platform.serving.rates import OwnRates, Rates
from cico_platform.serving.settings import ServiceSettings

GUARDED = "/v1/"


class Guard:
    """Answers 401 without a key where keys are needed, and 429 to whoever asks too often."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, rates: Rates | None = None) -> None:
        self.app, self.settings = app, settings
        self.rates = rates or OwnRates(settings.burst)
        self.ring = None if settings.keys is None else KeyRing(settings.keys)

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
        wait = self.rates.take(client, rate)
        if wait:
            raise ProblemError(
                429, f"at most {rate:g} requests a minute are answered", retry_after=max(1, math.ceil(wait))
            )
