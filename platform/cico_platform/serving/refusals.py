"""Searches that the proxy refused, told to the API with the next request, so that its metrics count them."""

import re
from collections import Counter

from starlette.datastructures import Headers, MutableHeaders

HEADER = "x-cico-refused"
# Searches that the API takes so many of in hand; a video waits for its encoder instead.
COUNTED = ("/v1/search", "/v1/align")
TOLD = re.compile(rf"({'|'.join(COUNTED)})=(\d{{1,9}})")


class Refusals:
    """Counts refusals until a request takes them along.

    Examples
    --------
    >>> refusals, headers = Refusals(), MutableHeaders()
    >>> refusals.add("/v1/search")
    >>> refusals.send_with(headers)
    >>> refused(headers)
    {'/v1/search': 1}
    """

    def __init__(self) -> None:
        self._by_route = Counter[str]()

    def add(self, route: str) -> None:
        """One more; `route` is one of `COUNTED`."""
        self._by_route[route] += 1

    def send_with(self, headers: MutableHeaders) -> None:
        """Put them into a request's headers, in place of what its client may have said."""
        del headers[HEADER]
        if self._by_route:
            headers[HEADER] = ",".join(f"{route}={count}" for route, count in self._by_route.items())
            self._by_route.clear()


def refused(headers: Headers) -> dict[str, int]:
    """What `send_with` put there, by route."""
    return {route: int(count) for route, count in TOLD.findall(headers.get(HEADER, ""))}
