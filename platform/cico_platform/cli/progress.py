"""What the verbs that work through clips share: a bar, settings from options, the closing line."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from cico_platform.cli.output import console, emit, end, say_summary

if TYPE_CHECKING:
    from cico_platform.settings import OnProgress, Settings
    from cico_platform.steps import Summary

S = TypeVar("S", bound="Settings")


LINE_EVERY_SECONDS = 60.0


@contextmanager
def progress(verb: str, unit: str = "clips") -> Iterator["OnProgress"]:
    """How far it is: a bar on a terminal, elsewhere a line a minute.

    Both tell how many are done, of how many, how fast, how long still, and how many are in quarantine.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(verb, total=None, pace=unit)
        pace = Pace(unit)
        said = pace.began

        def advance(
            done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = ""
        ) -> None:
            nonlocal said
            text = ", ".join(filter(None, [note, pace.tell(done, total, quarantined, windows)]))
            bar.update(task, completed=done, total=total, pace=text)
            if not console.is_terminal and time.monotonic() - said > LINE_EVERY_SECONDS:
                said = time.monotonic()
                console.print(f"{verb}: {done}/{total} {text}", highlight=False)

        yield advance


class Pace:
    """How fast something goes on, in words; what an earlier try had done does not count as fast."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.began = time.monotonic()
        self._before: int | None = None

    def tell(self, done: int, total: int, quarantined: int, windows: int) -> str:
        """Clips/s, windows/s, time passed and left, and what is in quarantine.

        >>> Pace("clips").tell(0, 10, 2, 0)
        'clips, 0:00:00 passed, 2 quarantined'
        """
        self._before = done if self._before is None else self._before
        seconds, new = time.monotonic() - self.began, done - self._before
        parts = [self.unit]
        if new:
            parts.append(f"{new / seconds:.1f}/s")
        if windows:
            parts.append(f"{windows / seconds:.0f} windows/s")
        parts.append(f"{timedelta(seconds=int(seconds))} passed")
        if new > 0 and done < total:
            parts.append(f"{timedelta(seconds=int(seconds / new * (total - done)))} left")
        if quarantined:
            parts.append(f"{quarantined} quarantined")
        return ", ".join(parts)


def make_settings(kind: type[S], **values: Any) -> S:
    """Settings from options.

    Raises
    ------
    InputError
        If a value is out of range or a name is unknown: it says which.
    """
    from cico_platform.settings import validated

    return validated(kind, values)


def finish(verb: str, summary: "Summary", as_json: bool, strict: bool = False) -> None:
    """Print the JSON object and the closing line.

    Raises
    ------
    typer.Exit
        With code 1 if the caller was strict and a clip was quarantined.
    """
    result = summary.as_json()
    emit(as_json, result)
    say_summary(verb, result)
    end(strict, result)
