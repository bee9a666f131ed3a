"""`cico bench serve`: the service at 80% and at 200% of what it can do, beside a plain FastAPI process."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from cico_platform.benchmarks.drawn_index import draw_index
from cico_platform.benchmarks.interleave import Measured, Say
from cico_platform.benchmarks.load import Ask, Choose, Clients, Figures, figures
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.rows import Row, make_row
from cico_platform.benchmarks.services import RunningService, our_service, plain_service
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.benchmarks.soak import soak
from cico_platform.errors import InputError
from cico_platform.index.search import Searcher

CLIPS, QUICK_CLIPS = 2000, 200
SECONDS, QUICK_SECONDS = 20.0, 3.0
REPEATS = 3
TEXTS = 200
# Clients that wait for their answers; of these numbers the one with most answers tells the capacity.
CROWDS, VIDEO_PEOPLE = (2, 3, 8), 2
LOADS = {"80%": 0.8, "200%": 2.0}


@dataclass(frozen=True)
class Searches:
    """What is searched for: texts in turn, and every so often a video."""

    texts: Sequence[Ask]
    video: Ask | None
    video_share: float = 0.0

    def mixed(self, number: int) -> Ask:
        """The request of a number."""
        is_video = self.video and int((number + 1) * self.video_share) > int(number * self.video_share)
        return self.video if is_video and self.video else self.texts[number % len(self.texts)]

    def text(self, number: int) -> Ask:
        """A search by text, whatever the share of videos."""
        return self.texts[number % len(self.texts)]


@dataclass
class Side:
    """What was measured of one service; a value a repeat."""

    text_rates: list[float] = field(default_factory=list)
    video_rates: list[float] = field(default_factory=list)
    loads: dict[str, list[Figures]] = field(default_factory=lambda: {name: [] for name in LOADS})
    memory: list[dict[str, float]] = field(default_factory=list)
    ready: float = 0.0

    def p99(self, load: str) -> list[float]:
        """Seconds, of the repeats in which anything was accepted."""
        return [one.p99 for one in self.loads[load] if one.p99 is not None]


def bench_serve(
    settings: BenchSettings,
    say: Say,
    index: Path | None = None,
    seconds: float = 0.0,
    video_share: float = 0.0,
    soak_seconds: float = 0.0,
    clips: int = 0,
) -> dict[str, Any]:
    """Put `cico serve` and a plain service on the same index under the same kinds of load, in turn.

    Both are up all the time; each repeat finds a side's capacity with a few clients that wait for their
    answers, then sends 80% and 200% of it at a constant rate, whether or not answers come.

    Parameters
    ----------
    index
        Folder of an index; one with drawn sentences and weights if it is None.
    seconds
        Of each load.
    video_share
        Share of the requests of the loads that search by a video.
    soak_seconds
        Then leave `cico serve` at 80% for so long, looking at its memory; 0 does not.
    clips
        Of the drawn index; 0 takes 2,000.

    Returns
    -------
    dict
        `rows`: `text` and `video` (capacity, searches/s), `overload` (p99 of what was accepted at 200%, in
        seconds); each side's `loads`, with what was refused and lost; `soak`, if asked for; `machine`.

    Raises
    ------
    InputError
        If there is no such index, or a number of clips for one that is not drawn.
    """
    seconds = seconds or (QUICK_SECONDS if settings.quick else SECONDS)
    with tempfile.TemporaryDirectory(prefix="cico-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        say("making the indexes ...")
        if index is None:
            drawn = clips or (QUICK_CLIPS if settings.quick else CLIPS)
            index = draw_index(folder / "drawn", drawn, settings.seed)
        elif clips:
            raise InputError(f"--size is for a drawn index, not for '{index}'")
        elif not index.is_dir():
            raise InputError(f"'{index}' is not the folder of an index")
        # A collection has one owner process.
        first = Path(shutil.copytree(index, folder / "plain" / "index"))
        searches, size = _searches(first, video_share)
        second = Path(shutil.copytree(first, folder / "ours" / "index"))
        say("starting the services ...")
        services = {
            "plain": stack.enter_context(plain_service(first, folder)),
            "ours": stack.enter_context(our_service(second, folder)),
        }
        sides = {name: Side() for name in services}
        for name, service in services.items():
            asyncio.run(_warm_up(service, searches, seconds / 4))
            sides[name].memory.append(service.memory_mib())
            sides[name].ready = service.ready_seconds
        for _ in range(settings.count(REPEATS)):
            for name, service in services.items():
                asyncio.run(_repeat(service, searches, seconds, sides[name], say))
        for name, service in services.items():
            sides[name].memory.append(service.memory_mib())
        soaked = None
        if soak_seconds:
            rate = LOADS["80%"] * median(sides["ours"].text_rates)
            soaked = asyncio.run(soak(services["ours"], searches.mixed, rate, soak_seconds, say))
    return {
        "rows": _rows(sides, size, seconds, video_share),
        **({"soak": soaked} if soaked else {}),
        "machine": describe_machine(settings.threads),
        "quick": settings.quick,
    }


async def _warm_up(service: RunningService, searches: Searches, seconds: float) -> None:
    async with Clients(service.address) as clients:
        await clients.crowd(searches.text, CROWDS[0], seconds)
        if searches.video:
            await clients.crowd(_always(searches.video), 1, 0.1)


async def _repeat(service: RunningService, searches: Searches, seconds: float, side: Side, say: Say) -> None:
    async with Clients(service.address) as clients:
        crowds = [await clients.crowd(searches.text, people, seconds / 4) for people in CROWDS]
        able = max(figures(answers, seconds / 4).accepted_rate for answers in crowds)
        side.text_rates.append(able)
        say(f"  {service.name}: {able:.1f} text searches/s")
        if searches.video:
            answers = await clients.crowd(_always(searches.video), VIDEO_PEOPLE, seconds / 2)
            side.video_rates.append(figures(answers, seconds / 2).accepted_rate)
            say(f"  {service.name}: {side.video_rates[-1]:.2f} video searches/s")
        for name, factor in LOADS.items():
            rate = factor * able
            load = figures(await clients.steady(searches.mixed, rate, seconds), seconds)
            side.loads[name].append(load)
            say(f"  {service.name} at {name}: {load.in_words()}")


def _always(ask: Ask) -> Choose:
    return lambda _: ask


def _rows(sides: dict[str, Side], size: str, seconds: float, video_share: float) -> list[Row]:
    plain, ours = sides["plain"], sides["ours"]
    rows = [_rate_row("text", f"{size}; the best of {CROWDS} clients", plain.text_rates, ours.text_rates)]
    if ours.video_rates:
        size_video = f"{size}; {VIDEO_PEOPLE} clients"
        rows.append(_rate_row("video", size_video, plain.video_rates, ours.video_rates))
    shared = f", {video_share:.0%} of them videos" if video_share else ""
    row = make_row(
        "overload",
        f"{size}; twice the capacity of each{shared}, {seconds:g} s; p99 of what is accepted",
        Measured(plain.p99("200%")),
        Measured(ours.p99("200%")),
    )
    row["loads"] = {
        name: {load: [one.as_json() for one in found] for load, found in side.loads.items()}
        for name, side in sides.items()
    }
    if ours.p99("80%") and ours.p99("200%"):
        row["p99_to_80%"] = round(median(ours.p99("200%")) / median(ours.p99("80%")), 2)
    row["ready_s"] = {name: round(side.ready, 1) for name, side in sides.items()}
    row["service_mib"] = {
        name: {"begin": side.memory[0], "end": side.memory[-1]} for name, side in sides.items()
    }
    return [*rows, row]


def _rate_row(name: str, size: str, plain: list[float], ours: list[float]) -> Row:
    """A row of rates, which a `Measured` holds as the seconds of one search."""
    measured = (Measured([1 / rate for rate in rates if rate]) for rates in (plain, ours))
    return make_row(name, size, *measured, unit="searches/s")


def _searches(index: Path, video_share: float) -> tuple[Searches, str]:
    """Texts of the index, a video of it if there is one at its path, and the index in words."""
    texts: dict[str, None] = {}
    video: Path | None = None
    with Searcher.open(index) as searcher:
        for hit in searcher.index.fetch(searcher.info.collection, fields=("text", "path")):
            texts.setdefault(str(hit.payload.get("text") or ""), None)
            path = Path(str(hit.payload.get("path") or ""))
            video = video or (path if path.is_file() else None)
            if len(texts) >= TEXTS:
                break
        clips = searcher.index.count(searcher.info.collection)
        texts.pop("", None)
    if not texts:
        raise InputError(f"the clips of '{index}' have no texts to search for")
    if video_share and video is None:
        raise InputError(f"no clip of '{index}' is at its path any more: leave out --video-share")
    asked = None if video is None else Ask.video(video.read_bytes())
    return Searches([Ask.text(text) for text in texts], asked, video_share), f"{clips} clips"
