"""What verbs share whose settings may come from a file: they can print them instead of running."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from pydantic import BaseModel

PRINTING = ("--print-config", "--print-grid")
Config = Annotated[
    str | None, typer.Option("--config", help="A YAML file of settings; options and --set go over it.")
]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="Write the settings as YAML, a file for --config, and do nothing."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting by name, as in --set lr=0.001; may be given again."),
]


class Configurable(TyperCommand):
    """A command that needs no arguments where it only prints its settings."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click does."""
        if set(args) & set(PRINTING):
            for parameter in self.params:
                parameter.required = False
        return super().parse_args(ctx, args)


def print_settings(verb: str, settings: "BaseModel", option: str = "--config") -> None:
    """Write settings to standard output, as a file for an option."""
    from cico_platform.config_files import as_yaml

    typer.echo(as_yaml(settings, f"cico {verb} {option} FILE"), nl=False)
