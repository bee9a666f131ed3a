"""Where the `cico` command starts: errors become sentences, Ctrl-C and SIGTERM an end in good order."""

import sys
from typing import NoReturn

from cico_platform.cli.interruption import Interruption


def run() -> NoReturn:
    """Run the command; what people did wrong is told in a sentence, never as a traceback."""
    interruption = Interruption(sys.argv[1:])
    interruption.listen()
    code: int | str | None = 0
    try:
        from cico_platform.cli.main import app

        app()
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        # After a signal, whatever is raised comes of it.
        code = interruption.exit_code if interruption.number else _tell(error)
    if interruption.number:
        code = interruption.finish(code)
    sys.exit(code)


def _tell(error: BaseException) -> int:
    """Print what a person should know, and return the exit code; what may be a bug is raised."""
    from cico_platform.cli.failures import sentence

    told = sentence(error)
    if told is None:
        raise error
    from cico_platform.cli.output import console

    console.print(f"[bold red]error:[/bold red] {told}", highlight=False, soft_wrap=True)
    return getattr(error, "exit_code", 1)
