"""A progress display of stages: one line a stage, with a bar where the stage knows how far it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from cico_platform.observability.pace import Pace
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary


class StageDisplay:
    """Shows stages one after another: bars on a terminal; elsewhere lines, one a minute."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.number = 0
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "StageDisplay":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, title: str) -> Iterator[tuple[OnProgress, Callable[[Summary], None]]]:
        """A stage's line: yields how to report progress, and how to report its end."""
        self.number += 1
        head = f"[{self.number}/{self.total}] {title}"
        pace = Pace()
        task = self._progress.add_task(head.replace("[", r"\["), total=None)
        if not self.console.is_terminal:
            self.console.print(head.replace("[", r"\["), highlight=False)

        def advance(
            done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = ""
        ) -> None:
            self._progress.update(task, completed=done, total=total)
            if not self.console.is_terminal and pace.is_due():
                text = ", ".join(filter(None, [note, pace.tell(done, total, quarantined, windows)]))
                self.console.print(f"      {done}/{total} {text}", highlight=False, markup=False)

        def finish(summary: Summary) -> None:
            self._progress.update(task, completed=1, total=1)
            if not self.console.is_terminal:
                self.console.print(f"      {describe(summary)}", highlight=False)

        yield advance, finish


def describe(summary: Summary) -> str:
    """A stage's counts in words."""
    if summary.skipped and not summary.done:
        return "already finished, not repeated"
    text = f"{summary.done} done in {summary.seconds:.0f} s"
    if summary.skipped:
        text += f", {summary.skipped} skipped"
    return text + (f", {summary.quarantined} quarantined" if summary.quarantined else "")
