"""What the verbs that work through clips share: a bar, settings from options, the closing line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from cico_platform.cli.output import console, emit, end, say_summary
from cico_platform.observability.pace import Pace

if TYPE_CHECKING:
    from cico_platform.settings import OnProgress, Settings
    from cico_platform.steps import Summary

S = TypeVar("S", bound="Settings")


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

        def advance(
            done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = ""
        ) -> None:
            text = ", ".join(filter(None, [note, pace.tell(done, total, quarantined, windows)]))
            bar.update(task, completed=done, total=total, pace=text)
            if not console.is_terminal and pace.is_due():
                console.print(f"{verb}: {done}/{total} {text}", highlight=False)

        yield advance


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
