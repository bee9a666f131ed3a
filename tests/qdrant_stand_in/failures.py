"""Faults by option: which requests of a stand-in server are slow, refused, lost, or done by half."""

import json
import os
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import grpc

Kind = Literal["refuse", "lose-answer", "half", "die", "hang"]
# What reads and writes points; a fault that names no methods strikes these.
POINTS = "/qdrant.Points/"


def name_of(method: str) -> str:
    """A method's name with its service's.

    >>> name_of("/qdrant.Points/Upsert")
    'Points/Upsert'
    """
    return method.rpartition(".")[2]


class RefusedError(Exception):
    """A request that gets an error."""

    def __init__(self, code: grpc.StatusCode, details: str, retry_after: int | None = None) -> None:
        super().__init__(details)
        self.code, self.details, self.retry_after = code, details, retry_after


@dataclass(frozen=True)
class Faults:
    """What goes wrong.

    Attributes
    ----------
    every
        Every n-th of the chosen requests is struck; 0 is none.
    kind
        `refuse`: nothing is done. `lose-answer`: all is done, the answer is lost. `half`: the first half of
        the batch is done. `die`: half of it, then the process is killed. `hang`: nothing happens until the
        client's deadline has passed.
    code
        The status of what is refused, lost or done by half.
    methods
        Names of methods, as `Points/Upsert`; without any, all that read or write points.
    times
        How many requests are struck at most.
    latency
        Seconds that each of the chosen requests takes longer.
    retry_after
        Seconds that a refusal tells the client to wait.
    """

    every: int = 0
    kind: Kind = "refuse"
    code: str = "UNAVAILABLE"
    methods: tuple[str, ...] = ()
    times: int = 1 << 30
    latency: float = 0.0
    retry_after: int | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Faults":
        """Faults of these values; an unknown name is an error."""
        known = replace(cls(), **values)
        return replace(known, methods=tuple(known.methods), code=grpc.StatusCode[known.code].name)

    def chosen(self, method: str) -> bool:
        """Whether requests of a method may be struck."""
        return name_of(method) in self.methods if self.methods else method.startswith(POINTS)


@dataclass
class Traffic:
    """Calls and bytes of the messages of each method, since the last reset; the largest request's, too."""

    calls: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    largest: Counter[str] = field(default_factory=Counter)

    def count(self, method: str, received: int, sent: int) -> None:
        """Count one call."""
        name = name_of(method)
        self.calls[name] += 1
        self.received[name] += received
        self.sent[name] += sent
        self.largest[name] = max(self.largest[name], received)


class Control:
    """Faults and traffic of a server; a client sets the one and reads the other while it runs."""

    def __init__(self, faults: Faults) -> None:
        self.faults, self.traffic = faults, Traffic()
        self._met, self._struck = 0, 0
        self._lock = threading.Lock()

    def answer(self, request: bytes) -> bytes:
        """Take `{"faults": {…}}` or `{"reset": true}`, or both; answer with the traffic and faults struck."""
        asked = json.loads(request)
        with self._lock:
            if "faults" in asked:
                self.faults, self._met, self._struck = Faults.of(asked["faults"]), 0, 0
            if asked.get("reset"):
                self.traffic = Traffic()
            known = {each.name: dict(getattr(self.traffic, each.name)) for each in fields(Traffic)}
            return json.dumps({**known, "struck": self._struck, "faults": asdict(self.faults)}).encode()

    def strike(self, method: str) -> Faults | None:
        """The fault that strikes this request, once its latency has passed."""
        with self._lock:
            faults = self.faults
            if not faults.chosen(method):
                return None
            self._met += 1
            struck = bool(faults.every) and self._met % faults.every == 0 and self._struck < faults.times
            self._struck += struck
        time.sleep(faults.latency)
        return faults if struck else None

    def count(self, method: str, received: int, sent: int) -> None:
        """Count a call's messages."""
        with self._lock:
            self.traffic.count(method, received, sent)


def halved(request: Any) -> Any:
    """The first half of a batch of points; of anything else, nothing of it."""
    half = type(request)()
    half.CopyFrom(request)
    if hasattr(half, "points") and hasattr(half.points, "__delitem__"):
        del half.points[len(half.points) // 2 :]
        return half
    if hasattr(half, "operations"):
        del half.operations[(len(half.operations) + 1) // 2 :]
        last = half.operations[-1]
        if last.HasField("upsert"):
            del last.upsert.points[len(last.upsert.points) // 2 :]
        return half
    return None


def fail(faults: Faults) -> None:
    """End a request that was struck.

    Raises
    ------
    RefusedError
        Always, unless the process is to die.
    """
    if faults.kind == "die":
        os._exit(9)
    code = grpc.StatusCode[faults.code]
    raise RefusedError(code, f"a fault was asked for ({faults.kind})", faults.retry_after)
