"""How many replicas a deployment needs, by the load that its replicas report.

Ray Serve counts the requests that it carries itself; those that come over sockets it does not see.
"""

import math
import time
from collections.abc import Mapping
from typing import Any

from ray.serve.config import AutoscalingContext, AutoscalingPolicy

LOAD = "load"
# Replicas that are busy for a larger share of the time are too few.
TARGET = 0.7
# Loads are reported so often, and averaged over so long.
REPORT_SECONDS, LOOK_BACK_SECONDS = 2.0, 10.0


def wanted(loads: Mapping[Any, float], now: int) -> int:
    """Return how many replicas the loads of those that report need, at least one.

    A load is the share of a replica that is in use; those that report nothing yet are taken as the others.

    >>> wanted({"a": 0.9, "b": 0.8}, 2), wanted({"a": 0.1, "b": 0.2}, 2), wanted({}, 3)
    (3, 1, 3)
    """
    if not loads:
        return now
    mean = sum(loads.values()) / len(loads)
    return max(1, math.ceil(mean * now / TARGET))


def policy(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """Ray Serve calls it in its controller."""
    loads = (context.aggregated_metrics or {}).get(LOAD, {})
    return wanted(loads, max(1, context.current_num_replicas)), {}


def by_load(least: int, most: int, initial: int | None = None) -> dict[str, Any]:
    """`autoscaling_config` of a deployment whose replicas report their load (`record_autoscaling_stats`)."""
    return {
        "min_replicas": least,
        "max_replicas": max(least, most),
        "initial_replicas": min(max(initial or least, least), max(least, most)),
        "metrics_interval_s": REPORT_SECONDS,
        "look_back_period_s": LOOK_BACK_SECONDS,
        "upscale_delay_s": 10.0,
        "downscale_delay_s": 300.0,
        "policy": AutoscalingPolicy(policy_function=f"{__name__}:{policy.__name__}"),
    }


class BusyShare:
    """The share of the time in which something was being worked on, since it was last asked.

    Examples
    --------
    >>> share = BusyShare(now=0.0)
    >>> share.begin(1.0)
    >>> share.end(2.0)
    >>> share.since(4.0)
    0.25
    """

    def __init__(self, now: float | None = None) -> None:
        self._asked = self._changed = time.monotonic() if now is None else now
        self._running, self._busy = 0, 0.0

    def begin(self, now: float) -> None:
        """Something begins."""
        self._count(now)
        self._running += 1

    def end(self, now: float) -> None:
        """Something ends."""
        self._count(now)
        self._running -= 1

    def since(self, now: float) -> float:
        """Return the share since the last call."""
        self._count(now)
        passed, busy = now - self._asked, self._busy
        self._asked, self._busy = now, 0.0
        return busy / passed if passed > 0 else 0.0

    def _count(self, now: float) -> None:
        if self._running:
            self._busy += now - self._changed
        self._changed = now
