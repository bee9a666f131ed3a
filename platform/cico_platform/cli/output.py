"""What a command prints: one JSON object on standard output, everything for people on standard error."""

import json
import sys
from typing import Any

from rich.console import Console

console = Console(stderr=True)


def emit(as_json: bool, result: dict[str, Any]) -> None:
    """Print `result` as one line of JSON on standard output, if the caller asked for JSON."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()


def say(message: str) -> None:
    """Print a line for people."""
    console.print(message, highlight=False)


def end(strict: bool, result: dict[str, Any]) -> None:
    """Leave with exit code 1 if the caller was strict and a clip was quarantined.

    Raises
    ------
    typer.Exit
        If so.
    """
    import typer

    if strict and result.get("quarantined", 0):
        say("  --strict: a quarantined clip counts as a failure")
        raise typer.Exit(1)


def say_summary(verb: str, result: dict[str, Any]) -> None:
    """Print the closing line of a step: how many clips were done, skipped, quarantined, and how fast."""
    done, seconds = result.get("done", 0), result.get("seconds", 0.0)
    rate = f", {done / seconds:.1f} clips/s" if done and seconds else ""
    say(
        f"[bold]{verb}[/bold]: {done} done, {result.get('skipped', 0)} skipped, "
        f"{result.get('quarantined', 0)} quarantined in {seconds:.1f} s{rate}"
    )
