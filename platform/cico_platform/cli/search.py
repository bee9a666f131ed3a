"""`cico search`: find clips by a sentence, or sentences by a sign video."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cico_platform.cli.qdrant_options import Qdrant

if TYPE_CHECKING:
    from cico_platform.index.clips import Filters

Many = list[str] | None


def search(
    text: Annotated[str | None, typer.Argument(help="The sentence to look for.")] = None,
    index: Annotated[
        str, typer.Option("--index", help="Folder of an index, or URL of a Qdrant server.")
    ] = "",
    video: Annotated[
        Path | None, typer.Option("--video", help="A sign video: find the sentence it signs.")
    ] = None,
    inside: Annotated[
        Path | None, typer.Option("--inside", help="A long video: find when the sentence is signed in it.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Results at most.")] = 10,
    collection: Annotated[str, typer.Option("--collection", help="Its name in the index.")] = "clips",
    corpus: Annotated[Many, typer.Option(help="Only this corpus; may be given again.")] = None,
    language: Annotated[Many, typer.Option(help="Only this language of the text.")] = None,
    sign_language: Annotated[Many, typer.Option(help="Only this sign language.")] = None,
    signer: Annotated[Many, typer.Option(help="Only this signer.")] = None,
    licence: Annotated[Many, typer.Option(help="Only this licence.")] = None,
    split: Annotated[Many, typer.Option(help="Only this split.")] = None,
    min_duration: Annotated[float | None, typer.Option(min=0, help="Seconds a clip lasts at least.")] = None,
    max_duration: Annotated[float | None, typer.Option(min=0, help="Seconds a clip lasts at most.")] = None,
    qdrant: Qdrant = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Find the sign videos that say a sentence; with --video, the sentences that a video may sign."""
    import time

    from cico_platform.cli.output import console, emit, say
    from cico_platform.errors import InputError

    if (text is None) == (video is None):
        raise InputError('give either a text or --video FILE: cico search "the boy reads" --index demo/index')
    if inside is not None and text is None:
        raise InputError("--inside takes a text: cico search TEXT --inside VIDEO --index demo/index")
    if not index:
        raise InputError("name the index: --index PATH_OR_URL (the demo's is demo/index)")

    from cico_platform.index.clips import Filters
    from cico_platform.index.search import Searcher

    if inside is not None:
        with console.status("looking …"), Searcher.open(index, collection) as searcher:
            began = time.perf_counter()
            found = searcher.inside(text or "", inside, limit)
        emit(json, {**found, "seconds": round(time.perf_counter() - began, 4)})
        for one in found["ranges"]:
            say(f"{one['start']:8.1f} – {one['end']:.1f} s  {one['score']:.3f}")
        say(f"[dim]{found['read_seconds']:.1f} s of video were read[/dim]")
        return
    filters = Filters(
        corpus=corpus or None,
        language=language or None,
        sign_language=sign_language or None,
        signer=signer or None,
        licence=licence or None,
        split=split or None,
        min_duration=min_duration,
        max_duration=max_duration,
    )
    with console.status("looking …"), Searcher.open(index, collection) as searcher:
        began = time.perf_counter()
        rows = _ask(searcher, text, video, limit, filters)
        seconds = time.perf_counter() - began
        nothing_fits = searcher.nothing_fits("video" if text is None else "text", rows)
    known = {} if nothing_fits is None else {"nothing_fits": nothing_fits}
    emit(json, {"results": rows, "seconds": round(seconds, 4), **known})
    _show(rows, seconds)
    if nothing_fits and rows:
        say("[yellow]nothing here is likely to be it[/yellow]: even the best is below the threshold")


def _ask(
    searcher: Any, text: str | None, video: Path | None, limit: int, filters: "Filters"
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]]
    rows = (
        searcher.by_text(text, limit, filters)
        if text is not None
        else searcher.by_video(video, limit, filters)
    )
    return rows


def _show(rows: list[dict[str, Any]], seconds: float) -> None:
    """A table for people: each clip's text, and when its words are signed."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from cico_platform.cli.output import console, say

    if not rows:
        say("nothing fits")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "score", "clip"):
        table.add_column(name, justify="left" if name == "clip" else "right", overflow="fold")
    table.add_column("words, in seconds", overflow="fold", ratio=1)
    for number, row in enumerate(rows, 1):
        words = Text()
        for word in row["words"]:
            words.append(f"{word['word']} ", style="bold")
            words.append(f"{word['start']:.1f}–{word['end']:.1f}  ", style="dim")
        said = Text.assemble((row["text"], "bold"), "\n", (row["video_id"], "dim"))
        table.add_row(str(number), _value(row), said, words)
    console.print(table)
    say(f"[dim]{len(rows)} results in {seconds:.2f} s; best: {escape(rows[0]['path'])}[/dim]")


def _value(row: dict[str, Any]) -> str:
    """The score, and how likely it is right where that is known."""
    likely = f"\n{row['probability']:.0%}" if "probability" in row else ""
    return f"{row['score']:.3f}{likely}"
