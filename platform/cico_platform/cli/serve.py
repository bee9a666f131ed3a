"""`cico serve`: the search API and the page."""

from pathlib import Path
from typing import Annotated

import typer

from cico_platform.cli.configurable import Config, Set
from cico_platform.cli.qdrant_options import Qdrant

Many = list[str] | None


def serve(
    index: Annotated[
        str | None, typer.Option("--index", help="Folder of an index, or URL of a Qdrant server.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port to listen on; 8000.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; 127.0.0.1. 0.0.0.0 is every address.")
    ] = None,
    alias: Annotated[
        str | None, typer.Option("--collection", help="The collection's name in the index; clips.")
    ] = None,
    keys: Annotated[
        str | None, typer.Option("--keys", help="File of 'cico keys': nobody searches without one.")
    ] = None,
    per_minute: Annotated[
        float | None, typer.Option("--per-minute", help="Requests of a key (or an address) in a minute.")
    ] = None,
    cors_origin: Annotated[
        Many, typer.Option("--cors-origin", help="Origin whose pages may ask; may be given again.")
    ] = None,
    media_root: Annotated[
        Many, typer.Option("--media-root", help="Give out files below it only; may be given again.")
    ] = None,
    feedback: Annotated[
        str | None,
        typer.Option("--feedback", help="Folder to write judgements of results into; without it none."),
    ] = None,
    qdrant: Qdrant = None,
    config: Config = None,
    set_: Set = None,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Write a file for --config and for 'serve deploy', do nothing."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object once it is up.")] = False,
) -> None:
    """Serve the search page and its API until Ctrl-C.

    Settings are those of 'serve deploy': --set service.upload_bytes=100000000.
    """
    from cico_platform.cli.output import emit, say
    from cico_platform.config_files import ConfigFile, read_config, resolve
    from cico_platform.errors import InputError
    from cico_platform.serving.app import serve_index
    from cico_platform.serving.application import ServedIndex
    from cico_platform.serving.deploy_file import HttpSettings, as_deploy_file, split_deploy_file

    what, where = (
        split_deploy_file(read_config(config)) if config is not None else (ConfigFile(), ConfigFile())
    )
    options = {
        "index": index,
        "alias": alias,
        "service.keys": keys,
        "service.per_minute": per_minute,
        "service.cors_origins": cors_origin or None,
        "service.media_roots": media_root or None,
        "service.feedback": feedback and str(Path(feedback).absolute()),
    }
    served = resolve(ServedIndex(index=""), what, set_, options)
    http = resolve(HttpSettings(), where, None, {"host": host, "port": port})
    if not served.index:
        raise InputError("name the index: --index PATH_OR_URL (the demo's is demo/index)")
    if print_config:
        typer.echo(as_deploy_file(served, http), nl=False)
        return

    def ready(address: str) -> None:
        say(f"[bold green]serving[/bold green] {served.index} at [bold]{address}[/bold]")
        say(f"[dim]the API is described at {address}/openapi.json; Ctrl-C stops it[/dim]")
        emit(json, {"address": address, "index": served.index})

    say(f"[dim]starting Ray Serve on {http.host}:{http.port} …[/dim]")
    serve_index(
        served.index,
        http.host,
        http.port,
        alias=served.alias,
        settings=served.service,
        on_ready=ready,
        request_seconds=http.request_timeout_s,
        keep_alive_seconds=http.keep_alive_timeout_s,
    )
    say("stopped")
