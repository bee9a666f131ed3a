"""What the verbs that work through clips share: a bar, settings from options, the closing line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from cico_platform.cli.output import console, emit, end, say_summary
from cico_platform.errors import InputError

if TYPE_CHECKING:
    from cico_platform.settings import OnProgress, Settings
    from cico_platform.steps import Summary

S = TypeVar("S", bound="Settings")


@contextmanager
def progress(verb: str, unit: str = "clips") -> Iterator["OnProgress"]:
    """A bar on the terminal: how many are done, of how many, how fast, how long still."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def make_settings(kind: type[S], **values: Any) -> S:
    """Settings from options.

    Raises
    ------
    InputError
        If a value is out of range or a name is unknown: it says which.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"setting '{name}': {first['msg']} (was given {first['input']!r})") from error


def with_sets(base: "Settings", sets: Sequence[str] | None, **options: Any) -> dict[str, Any]:
    """The values of settings, with options that were given and then `name=value` pairs over them.

    Raises
    ------
    InputError
        If a pair is none.
    """
    import json

    values = base.model_dump() | {name: value for name, value in options.items() if value is not None}
    for pair in sets or []:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--set takes name=value, not '{pair}'")
        try:
            values[name.strip()] = json.loads(text)
        except json.JSONDecodeError:
            values[name.strip()] = text
    return values


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
