"""A service under a steady load for a long time: what its memory does meanwhile."""

from typing import Any

from cico_platform.benchmarks.interleave import Say
from cico_platform.benchmarks.load import Choose, Clients, figures
from cico_platform.benchmarks.services import RunningService

# Memory is looked at after each part of the time.
PARTS = 10


async def soak(
    service: RunningService, choose: Choose, rate: float, seconds: float, say: Say
) -> dict[str, Any]:
    """Send searches at a constant rate, and look at the memory again and again.

    Parameters
    ----------
    choose
        The request of a number.
    rate
        Searches a second.

    Returns
    -------
    dict
        `seconds`, `rate`; by part, `mib` (of all the service's processes; the first before the load) and
        `loads`.
    """
    held, loads = [_total(service)], []
    for part in range(PARTS):
        async with Clients(service.address) as clients:
            load = figures(await clients.steady(choose, rate, seconds / PARTS), seconds / PARTS)
        loads.append(load.as_json())
        held.append(_total(service))
        say(f"  {service.name}, part {part + 1} of {PARTS}: {held[-1]:.0f} MiB, {load.in_words()}")
    return {"seconds": seconds, "rate": round(rate, 2), "mib": held, "loads": loads}


def _total(service: RunningService) -> float:
    return round(sum(service.memory_mib().values()), 1)
