"""`cico serve`: the search API and the page."""

from typing import Annotated

import typer


def serve(
    index: Annotated[str, typer.Option("--index", help="Folder of an index, or URL of a Qdrant server.")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every address.")
    ] = "127.0.0.1",
    alias: Annotated[str, typer.Option("--collection", help="The collection's name in the index.")] = "clips",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object once it is up.")] = False,
) -> None:
    """Serve the search page and its API until Ctrl-C."""
    from cico_platform.cli.output import emit, say
    from cico_platform.serving.app import serve_index

    def ready(address: str) -> None:
        say(f"[bold green]serving[/bold green] {index} at [bold]{address}[/bold]")
        say(f"[dim]the API is described at {address}/openapi.json; Ctrl-C stops it[/dim]")
        emit(json, {"address": address, "index": index})

    say(f"[dim]starting Ray Serve on {host}:{port} …[/dim]")
    serve_index(index, host, port, alias=alias, on_ready=ready)
    say("stopped")
