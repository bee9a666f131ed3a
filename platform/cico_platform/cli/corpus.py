"""`cico corpus`: read, inspect, frames, synthesize, compose."""

from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Make a corpus folder (manifest and quarantine) from what there is.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Out = Annotated[str, typer.Option("--out", help="The corpus folder to write.")]
Seed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn at random.")]
SHOWN = 8
# Side of the square frames that published sign encoders take, before their centre crop.
FRAME_SIZE = 256
FORMATS_HELP = (
    "Corpus format: auto, labels, how2sign, phoenix2014t, csl-daily, openasl, cico, msasl, wlasl,"
    " asl-citizen, subtitles, elan, folder."
)
TIER_HELP = "ELAN: a tier to read, or a pattern (*, ?) of names. May be given again."
MEDIA_HELP = "ELAN: a media file to take, or a pattern; SIGNER=PATTERN for one signer. May be given again."


@app.command("read")
def read(
    source: Annotated[str, typer.Argument(help="An annotation file, or a folder of videos.")],
    out: Out,
    format: Annotated[str, typer.Option("--format", help=FORMATS_HELP)] = "auto",
    videos: Annotated[str | None, typer.Option("--videos", help="The folder the files are in.")] = None,
    language: Annotated[str | None, typer.Option(help="Of the texts, where the corpus does not say.")] = None,
    sign_language: Annotated[str | None, typer.Option(help="Where the corpus does not say.")] = None,
    licence: Annotated[str | None, typer.Option(help="Where the corpus does not say.")] = None,
    tier: Annotated[list[str] | None, typer.Option("--tier", help=TIER_HELP)] = None,
    media: Annotated[list[str] | None, typer.Option("--media", help=MEDIA_HELP)] = None,
    seed: Seed = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a clip was quarantined.")] = False,
    json: Json = False,
) -> None:
    """Read a corpus: every clip is opened, its signer found, its still head and tail cut."""
    from cico_platform.cli.output import emit, end, say, say_summary
    from cico_platform.cli.progress import progress
    from cico_platform.corpus.read import ReadSettings, read_corpus

    settings = ReadSettings(
        seed=seed,
        language=language,
        sign_language=sign_language,
        licence=licence,
        tiers=tuple(tier or ()),
        media=tuple(media or ()),
    )
    with progress("corpus read") as advance:
        result = read_corpus(source, out, format, videos, settings, advance).as_json()
    emit(json, result)
    say_summary("corpus read", result)
    kind = "isolated signs" if result["isolated"] else "sentences"
    splits = ", ".join(f"{count} {split}" for split, count in result["splits"].items())
    say(f"  format {result['format']}: {result['texts']} texts ({kind}); {splits}")
    _say_found(result)
    end(strict, result)


def _say_found(result: dict[str, Any]) -> None:
    """Print the choices, changes, refusals and omissions of a read."""
    from rich.markup import escape

    from cico_platform.cli.output import say

    if len(result["readers"]) > 1:
        say("  rows: " + ", ".join(f"{count} {name}" for name, count in result["readers"].items()))
    if result["tiers"]:
        named = [f"{name} ({count})" for name, count in result["tiers"].items()]
        say("  tiers: " + escape(_shown(named)))
    for note, count in result["notes"].items():
        say(f"  {count}: {escape(note)}")
    for reason, count in result["reasons"].items():
        say(f"  quarantined {count}: {escape(reason)}")
    for line in lacking(result):
        say(f"  {line}")
    if result["unused_columns"]:
        say("  columns that are not used: " + escape(_shown(result["unused_columns"])))
    if result["not_read"]:
        say(
            f"  {result['not_read']} files or folders of images are not read: "
            + escape(_shown(result["not_read_files"]))
        )


def _shown(names: list[str]) -> str:
    more = f", … ({len(names) - SHOWN} more)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@app.command("inspect")
def inspect(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    sheet: Annotated[str | None, typer.Option("--sheet", help="Where to write the contact sheet.")] = None,
    json: Json = False,
) -> None:
    """Show what a corpus holds, lacks, and how its clips look to the encoder."""
    import time

    from cico_platform.cli.output import emit, say
    from cico_platform.corpus.inspect import inspect_corpus

    began = time.monotonic()
    found = inspect_corpus(corpus, sheet)
    seconds = round(time.monotonic() - began, 3)
    emit(json, {"done": found["rows"], "skipped": 0, "seconds": seconds, **found})
    say(
        f"[bold]{corpus}[/bold]: {found['rows']} clips ({found['isolated']} isolated,"
        f" {found['sentences']} sentences), {found['texts']} texts,"
        f" {found['hours']:.2f} hours, {found['quarantined']} quarantined"
    )
    for name in ("splits", "languages", "sign_languages", "signers", "licences", "missing", "reasons"):
        if found[name]:
            shown = list(found[name].items())
            more = f", … ({len(shown) - 8} more)" if len(shown) > 8 else ""
            say(f"  {name}: " + ", ".join(f"{key} {count}" for key, count in shown[:8]) + more)
    for line in lacking(found):
        say(f"  {line}")
    for row in found["strangest"]:
        say(f"  strange: {row['video_id']} “{row['text']}”: {row['why']}")
    say(f"  contact sheet: {found['contact_sheet'] or 'no clip could be drawn'}")
    say(f"  what the sign encoder sees of a clip: cico corpus frames {corpus} VIDEO_ID --out DIR")


@app.command("frames")
def frames(
    corpus: Annotated[str, typer.Argument(help="A corpus folder.")],
    video_id: Annotated[str, typer.Argument(help="A clip of it.")],
    out: Annotated[str, typer.Option("--out", help="The folder to write.")],
    full: Annotated[bool, typer.Option("--full", help="Before cropping and resizing.")] = False,
    size: Annotated[int, typer.Option("--size", min=1, help="Side of the encoder's frames.")] = FRAME_SIZE,
    json: Json = False,
) -> None:
    """Write the frames of a clip as the sign encoder gets them, with their times (frames.json)."""
    from cico_platform.cli.output import emit, say
    from cico_platform.corpus.export_frames import export_frames

    result = export_frames(corpus, video_id, out, full=full, size=size)
    emit(json, result)
    lacks = ", ".join(name for name in ("truncated", "short") if result[name])
    say(
        f"[bold]{out}[/bold]: {result['frames']} frames of '{video_id}', {result['fps']:.3f} frames a second,"
        f" {result['times'][0]:.3f} s to {result['times'][-1]:.3f} s" + (f"; {lacks}" if lacks else "")
    )


@app.command("synthesize")
def synthesize(
    out: Out,
    dictionary_signers: Annotated[int, typer.Option(help="People of the dictionary; 0 for none.")] = 16,
    train: Annotated[int, typer.Option(help="Training sentences.")] = 800,
    validation: Annotated[int, typer.Option(help="Validation sentences.")] = 100,
    test: Annotated[int, typer.Option(help="Test sentences, none of them seen in training.")] = 200,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Draw a sign corpus by code: a dictionary of isolated signs, and sentences by other signers."""
    from cico_platform.cli.progress import finish, make_settings, progress
    from cico_platform.corpus.synthesis import SynthesisSettings
    from cico_platform.corpus.synthesis import synthesize as draw

    counts = {"train": train, "validation": validation, "test": test}
    settings = make_settings(SynthesisSettings, seed=seed, dictionary_signers=dictionary_signers, **counts)
    with progress("corpus synthesize") as advance:
        summary = draw(out, settings, on_progress=advance)
    finish("corpus synthesize", summary, json)


@app.command("compose")
def compose(
    corpus: Annotated[str, typer.Argument(help="A corpus folder with isolated signs.")],
    out: Out,
    train: Annotated[int, typer.Option(help="Training sentences.")] = 600,
    validation: Annotated[int, typer.Option(help="Validation sentences.")] = 100,
    test: Annotated[int, typer.Option(help="Test sentences, none of them seen in training.")] = 160,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compose continuous sentences from isolated signs."""
    from cico_platform.cli.progress import finish, progress
    from cico_platform.corpus.compose import ComposeSettings, compose_sentences
    from cico_platform.errors import InputError

    if min(train, validation, test) < 1:
        raise InputError("--train, --validation and --test must be at least 1")
    settings = ComposeSettings(seed=seed, train=train, validation=validation, test=test)
    with progress("corpus compose", "clips and videos") as advance:
        summary = compose_sentences(corpus, out, settings, advance)
    finish("corpus compose", summary, json)


def lacking(found: dict[str, Any]) -> list[str]:
    """Return a line for truncated clips and one for short clips, where there are any."""
    told = {
        "truncated": "truncated: the file breaks off within the clip",
        "short": "short: the picture does not cover the clip's interval",
    }
    return [f"{found[name]} {words}" for name, words in told.items() if found.get(name)]
