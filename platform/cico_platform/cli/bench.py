"""`cico bench`: our way beside the plain way, in one run on this machine."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from cico_platform.cli.bench_table import finish

app = typer.Typer(
    help="Measure our way beside the plain way, in turns, on this machine.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quick = Annotated[bool, typer.Option("--quick", help="Small sizes, two repeats: shows that it runs.")]
Repeats = Annotated[int, typer.Option(min=0, help="Repeats of each side; 0 takes each row's own number.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")]
Device = Annotated[
    str,
    typer.Option("--device", help="Where both sides compute: cpu, cuda, or auto: a GPU if there is one."),
]
Seed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn at random.")]
# Real sign videos that may lie beside a checkout.
BESIDE = Path("shared") / "corpus" / "isl_avatar"


@app.command("sign-encoder")
def sign_encoder(
    videos: Annotated[
        Path | None,
        typer.Option("--videos", help="A folder of sign videos to cut the windows from; else drawn ones."),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="A sign encoder's checkpoint; else the paper's size, weights drawn."),
    ] = None,
    quick: Quick = False,
    device: Device = "auto",
    repeats: Repeats = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Windows, features and mining, beside the published network run eagerly in float32."""
    from cico_platform.benchmarks.sign_encoder import bench_sign_encoder
    from cico_platform.cli.output import say

    videos, device = _videos(videos), _device(device)
    settings = _settings(
        quick=quick,
        device=device,
        repeats=repeats,
        threads=threads,
        seed=seed,
        videos=videos,
        encoder=encoder,
    )
    finish("bench sign-encoder", bench_sign_encoder(settings, say), json)


@app.command("similarity")
def similarity(
    quick: Quick = False,
    device: Device = "auto",
    repeats: Repeats = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Similarity and loss: forward and backward at two batch sizes, and scoring a whole test set."""
    from cico_platform.benchmarks.similarity import bench_similarity
    from cico_platform.cli.output import say

    device = _device(device)
    settings = _settings(quick=quick, device=device, repeats=repeats, threads=threads, seed=seed)
    finish("bench similarity", bench_similarity(settings, say), json)


@app.command("pipeline")
def pipeline(
    videos: Annotated[
        Path | None, typer.Option("--videos", help="A folder of sign videos to encode; else drawn ones.")
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option("--encoder", help="A sign encoder's checkpoint; else a tiny one, drawn.")
    ] = None,
    quick: Quick = False,
    repeats: Repeats = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Features of many clips: Ray Data beside a plain loop, two workers beside one, a second run."""
    from cico_platform.benchmarks.pipeline import bench_pipeline
    from cico_platform.cli.output import say
    from cico_platform.errors import InputError

    with suppress(InputError):  # no checkout: drawn videos do
        videos = _videos(videos) if videos is None else videos
    settings = _settings(
        quick=quick, repeats=repeats, threads=threads, seed=seed, videos=videos, encoder=encoder
    )
    finish("bench pipeline", bench_pipeline(settings, say), json)


@app.command("training")
def training(
    quick: Quick = False,
    device: Device = "auto",
    repeats: Repeats = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """The retrieval model's steps: Ray Train beside the loop without Ray, two workers beside one."""
    from cico_platform.benchmarks.training import bench_training
    from cico_platform.cli.output import say

    device = _device(device)
    settings = _settings(quick=quick, device=device, repeats=repeats, threads=threads, seed=seed)
    finish("bench training", bench_training(settings, say), json)


@app.command("precision")
def precision(
    work_dir: Annotated[
        Path, typer.Option("--work-dir", help="Work folder of a finished 'cico demo'.")
    ] = Path("demo"),
    quick: Quick = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """What bfloat16 and int8 change: features, pseudo-labels, and R@1 on the demo's test sentences."""
    from cico_platform.benchmarks.precision import bench_precision
    from cico_platform.cli.output import say

    settings = _settings(quick=quick, threads=threads)
    finish("bench precision", bench_precision(work_dir, settings, say), json)


class OptionalServer(TyperCommand):
    """`--server` may stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with a value for `--server`."""
        given = list(args)
        for place, argument in reversed(list(enumerate(args))):
            if argument == "--server" and (place + 1 == len(args) or args[place + 1].startswith("-")):
                given.insert(place + 1, "auto")
        return super().parse_args(ctx, given)


@app.command("search", cls=OptionalServer)
def search(
    work_dir: Annotated[
        Path, typer.Option("--work-dir", help="Work folder of a finished 'cico demo'.")
    ] = Path("demo"),
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", help="This number of clips; may be repeated. Above 200,000 they are drawn."),
    ] = None,
    drawn: Annotated[
        bool, typer.Option("--drawn", help="Draw the clips of every size: no demo is needed.")
    ] = False,
    server: Annotated[
        str,
        typer.Option(
            "--server",
            metavar="[URL]",
            help="Search on a Qdrant server instead, at the paper's width; without a URL that of "
            "CICO_QDRANT_URL, else the checkout's stand-in.",
        ),
    ] = "",
    candidates: Annotated[
        int, typer.Option(min=0, help="Clips that leave the first stage; 0: as a search.")
    ] = 0,
    rerank: Annotated[
        int, typer.Option(min=0, help="Clips that leave the second stage; 0: as a search.")
    ] = 0,
    storages: Annotated[
        bool, typer.Option("--storages", help="Compare ways to keep tokens, too, at 20,000 clips.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw time, memory and disk by size, as an SVG or PNG.")
    ] = None,
    quick: Quick = False,
    repeats: Repeats = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """The three stages beside exhaustive exact scoring, at 1,000, 20,000 and 200,000 clips."""
    from cico_platform.benchmarks.search import bench_search, bench_server_search
    from cico_platform.benchmarks.search_plot import plot_search
    from cico_platform.cli.output import say
    from cico_platform.index.ranking import Stages

    settings = _settings(quick=quick, repeats=repeats, threads=threads, seed=seed)
    given = {name: n for name, n in (("candidates", candidates), ("rerank", rerank)) if n}
    asked = tuple(sizes or ())
    if server:
        report = bench_server_search(server, settings, say, Stages(**given), asked)
    else:
        report = bench_search(work_dir, settings, say, Stages(**given), asked, storages=storages, drawn=drawn)
    finish("bench search", report, json)
    if plot is not None:
        plot_search(report, plot)


@app.command("serve")
def serve(
    index: Annotated[
        Path | None, typer.Option("--index", help="Folder of an index, as 'demo/index'; else a drawn one.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Of each load; 0 takes its own number.")] = 0.0,
    video_share: Annotated[
        float, typer.Option("--video-share", min=0, max=1, help="Share of the load that searches by video.")
    ] = 0.0,
    size: Annotated[
        int, typer.Option("--size", min=0, help="Clips of a drawn index; 0 takes the usual number.")
    ] = 0,
    soak: Annotated[
        float, typer.Option(min=0, help="Seconds at 80% after all else, looking at the memory; 0: none.")
    ] = 0.0,
    quick: Quick = False,
    repeats: Repeats = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """The service at 80% and 200% of its capacity, beside one plain FastAPI process on the same index."""
    from cico_platform.benchmarks.serve import bench_serve
    from cico_platform.cli.output import say

    demo = Path("demo") / "index"
    if index is None and not quick and not size and demo.is_dir():
        index = demo
    settings = _settings(quick=quick, repeats=repeats, threads=threads, seed=seed)
    finish("bench serve", bench_serve(settings, say, index, seconds, video_share, soak, size), json)


@app.command("scale")
def scale(
    only: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be repeated.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Where drawn corpora are put meanwhile; else the temporary folder."),
    ] = None,
    size: Annotated[int, typer.Option(min=0, help="Clips of the row index-building; 0: 100,000.")] = 0,
    server: Annotated[
        str, typer.Option(metavar="URL", help="Build the index of that row on this Qdrant server.")
    ] = "",
    quick: Quick = False,
    repeats: Repeats = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure how time and memory grow with a corpus of the paper's width, up to a million clips."""
    from cico_platform.benchmarks.scale.rows import bench_scale
    from cico_platform.cli.output import say
    from cico_platform.errors import InputError

    if folder is not None and not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder")
    chosen = {"quick": quick, "repeats": repeats, "threads": threads, "seed": seed}
    settings = _settings(**chosen, size=size, server=server)
    finish("bench scale", bench_scale(settings, say, tuple(only or ()), folder), json)


def _videos(videos: Path | None) -> Path | None:
    """The folder of videos, or the one that may lie beside a checkout."""
    from cico_platform.benchmarks.plain import checkout
    from cico_platform.errors import InputError

    beside = checkout().parent / BESIDE
    if videos is None:
        return beside if beside.is_dir() else None
    if not videos.is_dir():
        raise InputError(f"'{videos}' is not a folder of videos")
    return videos


def _device(wanted: str) -> str:
    """The device that is wanted, if it is there."""
    import torch

    from cico_platform.errors import InputError

    there = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if there else "cpu"
    if wanted not in ("cpu", "cuda"):
        raise InputError(f"--device is cpu, cuda or auto, not '{wanted}'")
    if wanted == "cuda" and not there:
        raise InputError("there is no CUDA device here")
    return wanted


def _settings(threads: int, **values: Any) -> Any:
    from cico_platform.benchmarks.settings import BenchSettings

    return BenchSettings(**values, **({"threads": threads} if threads else {}))
