"""An index on a Qdrant server that counts the bytes of its calls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cico_platform.index.server import ServerIndex
from cico_platform.index.server_settings import server_settings


class CountedServerIndex(ServerIndex):
    """`ServerIndex` with the settings of the environment, but for the folder of its tokens.

    Bytes are those of requests and answers as gRPC sends them, without its headers.
    """

    def __init__(self, url: str, tokens: Path) -> None:
        super().__init__(url, server_settings().model_copy(update={"tokens": str(tokens)}))
        self._moved = 0
        counted: Any = _Counted(self._client.points, self._count)
        self._client.points = counted

    def moved(self) -> int:
        """Bytes of all calls about points so far."""
        return self._moved

    def _count(self, size: int) -> None:
        self._moved += size


class _Counted:
    """Qdrant's generated stub, with calls that are counted."""

    def __init__(self, stub: Any, count: Callable[[int], None]) -> None:
        self._stub, self._count = stub, count

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)

        def call(request: Any, **how: Any) -> Any:
            answer = method(request, **how)
            self._count(request.ByteSize() + answer.ByteSize())
            return answer

        return call
