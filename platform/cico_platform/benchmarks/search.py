"""`cico bench search`: the three stages of the index beside exhaustive exact scoring, by size."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cico_platform.benchmarks.drawn_tokens import DrawnTokens, drawn_config, write_drawn
from cico_platform.benchmarks.first_stages import compare_first_stages
from cico_platform.benchmarks.interleave import Say
from cico_platform.benchmarks.machine import describe_machine
from cico_platform.benchmarks.rows import Row
from cico_platform.benchmarks.search_material import (
    Demo,
    choose_queries,
    read_demo,
    read_material,
    read_queries,
    write_material,
    write_queries,
)
from cico_platform.benchmarks.search_rows import SizeRow, measure_size
from cico_platform.benchmarks.server_at_hand import server_at_hand
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.benchmarks.token_storages import compare_storages
from cico_platform.errors import InputError
from cico_platform.index.ranking import Stages

# Clips; above the last of them, and with `drawn`, tokens are drawn.
SIZES, QUICK_SIZES = (1_000, 20_000, 200_000), (200, 600)
# The size at which ways to find candidates are compared.
COMPARED, QUICK_COMPARED = 20_000, 600
# Queries. Of many clips fewer are scored exhaustively: so many tokens in all, but some queries always.
QUERIES, QUICK_QUERIES = 200, 10
EXACT_TOKENS, FEWEST_EXACT = 240_000_000, 20
# Width of drawn tokens; on a server, clips and width of the paper's size.
WIDTH, SERVER_CLIPS, SERVER_WIDTH = 128, 20_000, 512
SMALLEST = 20


def bench_search(
    work_dir: Path,
    settings: BenchSettings,
    say: Say,
    stages: Stages | None = None,
    sizes: tuple[int, ...] = (),
    *,
    storages: bool = False,
    drawn: bool = False,
) -> dict[str, Any]:
    """Ask sentences among clips: a finished demo's test sentences among its clips and others, or drawn ones.

    Parameters
    ----------
    work_dir
        Of `cico demo`: its corpus, features and model are used, for up to 200,000 clips.
    stages
        How many leave each stage.
    sizes
        These numbers of clips; the usual ones by default.
    storages
        Compare ways to keep tokens, too.
    drawn
        Draw the clips of all sizes (`drawn_tokens`), not only those of larger ones.

    Returns
    -------
    dict
        `rows`, one a size: `plain` scores every clip, `ours` goes through the stages, both in seconds a
        query; `search` is `SizeRow.search`. `first_stages`: the share of the exact ten among so many
        candidates, by way to find them; `storages`: what is found where tokens are quantised or merged; both
        on the demo's clips. `machine`.

    Raises
    ------
    InputError
        If the folder holds no finished demo, where one is needed, or a size is too small.
    """
    wanted = _checked(sizes or (QUICK_SIZES if settings.quick else SIZES))
    stages = stages or Stages()
    from_demo = [size for size in wanted if not drawn and size <= SIZES[-1]]
    demo = read_demo(work_dir) if from_demo else None
    report = _Report(settings, stages, say, storages)
    for size in wanted:
        with tempfile.TemporaryDirectory(prefix="cico-bench-") as name:
            say(f"{size} clips: writing their tokens")
            if demo is not None and size in from_demo:
                report.add_demo(demo, size, Path(name))
            else:
                report.add_drawn(size, Path(name))
    return {
        "rows": report.rows,
        "first_stages": report.first_stages,
        "storages": report.storages,
        "machine": describe_machine(settings.threads),
        "quick": settings.quick,
    }


def bench_server_search(
    url: str, settings: BenchSettings, say: Say, stages: Stages | None = None, sizes: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Ask drawn sentences among clips of the paper's width and length on a Qdrant server.

    A collection of the bench's own is made there, and removed afterwards.

    Parameters
    ----------
    url
        Of the server, as `--index` takes it; or "auto" (`server_at_hand`).
    sizes
        Numbers of clips; 20,000 by default.

    Returns
    -------
    dict
        As `bench_search`; `search` has `bytes_per_search`, too: what requests and answers hold, on average.

    Raises
    ------
    CicoError
        If the server does not answer.
    """
    wanted = _checked(sizes or (QUICK_SIZES[-1] if settings.quick else SERVER_CLIPS,))
    report = _Report(settings, stages or Stages(), say, storages=False)
    for size in wanted:
        with tempfile.TemporaryDirectory(prefix="cico-bench-") as name:
            say(f"{size} clips: writing their tokens")
            with server_at_hand(url, Path(name) / "server") as address:
                report.add_drawn(size, Path(name), SERVER_WIDTH, address)
    return {"rows": report.rows, "machine": describe_machine(settings.threads), "quick": settings.quick}


class _Report:
    """Rows and comparisons that are measured already."""

    def __init__(self, settings: BenchSettings, stages: Stages, say: Say, storages: bool) -> None:
        self.settings, self.stages, self.say, self.with_storages = settings, stages, say, storages
        self.rows: list[Row] = []
        self.first_stages: list[dict[str, Any]] = []
        self.storages: list[dict[str, Any]] = []
        self.queries = QUICK_QUERIES if settings.quick else QUERIES

    def add_demo(self, demo: Demo, size: int, folder: Path) -> None:
        """A row of the demo's clips and others pieced together from them; at one size, what is compared."""
        config, settings = demo.model.config, self.settings
        write_material(demo, size, folder, settings.seed)
        queries = choose_queries(demo, self.queries, settings.seed)
        write_queries(queries, folder)
        material = read_material(folder, config.embed_dim)
        measured = SizeRow(f"search-{size}", config, asdict(self.stages), self._exact(len(material.rows)))
        row, exact = measure_size(measured, material, folder, settings, self.say)
        self.rows.append(row)
        if size != (QUICK_COMPARED if settings.quick else COMPARED) or exact is None:
            return
        self.say(f"{size} clips: comparing ways to find candidates")
        asked = read_queries(folder)[: len(exact)]
        self.first_stages = compare_first_stages(demo, material, (asked, exact), settings.seed)
        if self.with_storages:
            self.say(f"{size} clips: comparing ways to keep tokens")
            own = _own(demo, queries.texts[: len(exact)])
            self.storages = compare_storages(material, asked, exact, own, config, self.stages, self.say)

    def add_drawn(self, size: int, folder: Path, width: int = WIDTH, url: str = "") -> None:
        """A row of drawn clips, in an embedded index or on a server."""
        tokens, config = DrawnTokens.of(width, self.settings.seed), drawn_config(width)
        write_drawn(tokens, size, folder)
        write_queries(tokens.queries(self.queries), folder)
        material = read_material(folder, width)
        name = f"server-{size}" if url else f"search-{size}"
        measured = SizeRow(name, config, asdict(self.stages), self._exact(len(material.rows)), url)
        row, _ = measure_size(measured, material, folder, self.settings, self.say)
        row["size"] += ", drawn"
        self.rows.append(row)

    def _exact(self, tokens: int) -> int:
        """How many queries are scored exhaustively among so many tokens."""
        return min(self.queries, max(FEWEST_EXACT, EXACT_TOKENS // tokens))


def _checked(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if min(sizes) < SMALLEST:
        raise InputError(f"--size is {SMALLEST} or more, not {min(sizes)}")
    return sizes


def _own(demo: Demo, texts: list[str]) -> list[set[int]]:
    """Numbers of the clips that say each text; the demo's clips are the first ones."""
    said = {name: text for split in demo.texts.values() for name, text in split.items()}
    numbers: dict[str, set[int]] = {}
    for number, name in enumerate(demo.features):
        numbers.setdefault(said.get(name, ""), set()).add(number)
    return [numbers.get(text, set()) for text in texts]
