"""How fast something goes on, in words, and when to say it where there is no terminal."""

import time
from datetime import timedelta

LINE_EVERY_SECONDS = 60.0


class Pace:
    """How fast something goes on, in words; what an earlier try had done does not count as fast.

    Another total means that another kind of work has begun, with a rate of its own.
    """

    def __init__(self, unit: str = "") -> None:
        self.unit = unit
        self.began = time.monotonic()
        self._before: int | None = None
        self._total, self._since = -1, self.began
        self._said = self.began

    def is_due(self) -> bool:
        """Whether a minute has passed since this was last so: where there is no terminal, a line is due."""
        due = time.monotonic() - self._said > LINE_EVERY_SECONDS
        if due:
            self._said = time.monotonic()
        return due

    def tell(self, done: int, total: int, quarantined: int, windows: int) -> str:
        """Clips/s, windows/s, time passed and left, and what is in quarantine.

        >>> Pace("clips").tell(0, 10, 2, 0)
        'clips, 0:00:00 passed, 2 quarantined'
        """
        now = time.monotonic()
        if self._before is None or total != self._total:
            self._since = self.began if self._before is None else now
            self._before, self._total = done, total
        seconds, new = max(now - self._since, 1e-9), done - self._before
        parts = [self.unit]
        if new:
            parts.append(f"{new / seconds:.1f}/s")
        if windows:
            parts.append(f"{windows / seconds:.0f} windows/s")
        parts.append(f"{timedelta(seconds=int(now - self.began))} passed")
        if new > 0 and done < total:
            parts.append(f"{timedelta(seconds=int(seconds / new * (total - done)))} left")
        if quarantined:
            parts.append(f"{quarantined} quarantined")
        return ", ".join(filter(None, parts))
