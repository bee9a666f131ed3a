"""`cico keys`: who may ask a service that needs API keys."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="API keys of a service: 'cico serve --keys FILE'.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="The file of keys; it holds salted hashes only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@app.command()
def add(
    file: File,
    name: Annotated[str, typer.Option("--name", help="Whose key it is.")],
    per_minute: Annotated[
        float | None, typer.Option("--per-minute", help="Its own rate; without it, the service's.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key; it is shown now and never again."""
    from cico_platform.cli.output import emit, say
    from cico_platform.serving.keys import add_key

    row, key = add_key(file, name, per_minute)
    emit(json, {"id": row.id, "name": row.name, "key": key})
    if not json:
        typer.echo(key)
    say(f"key {row.id} of {row.name}; keep it now, as only a hash of it is in '{file}'")


@app.command("list")
def list_keys(file: File, json: Json = False) -> None:
    """Show whose keys there are, not the keys."""
    from datetime import UTC, datetime

    from cico_platform.cli.output import emit, say
    from cico_platform.serving.keys import read_keys

    keys = read_keys(file)
    emit(json, {"keys": [key.model_dump(exclude={"salt", "hash"}) for key in keys]})
    for key in keys:
        made = datetime.fromtimestamp(key.created, UTC).date()
        rate = f", {key.per_minute:g} a minute" if key.per_minute else ""
        say(f"{key.id}  {key.name}, since {made}{rate}")


@app.command()
def remove(
    file: File,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As 'cico keys list' shows it.")],
    json: Json = False,
) -> None:
    """Take a key away; a service that runs refuses it from then on."""
    from cico_platform.cli.output import emit, say
    from cico_platform.serving.keys import remove_key

    row = remove_key(file, key_id)
    emit(json, {"removed": row.id, "name": row.name})
    say(f"the key {row.id} of {row.name} is refused from now on")
