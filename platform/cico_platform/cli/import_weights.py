"""`cico import-weights`: weights of others as checkpoint folders."""

from pathlib import Path
from typing import Annotated

import typer


def import_weights(
    file: Annotated[
        Path, typer.Argument(help="Weights: .safetensors, or what torch.save wrote (.pt, .pth, .bin).")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder that becomes the checkpoint.")],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Signs of a sign encoder's classes: one a line, or a JSON list."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Import published sign encoders and towers, or CLIP ViT-B/32 to start the towers from.

    The kind of weights is found out. Nothing in the file is executed.
    """
    from cico_platform.cli.progress import finish
    from cico_platform.training.import_weights import import_weights as run

    finish("import-weights", run(file, out, labels), json)
