"""Every `cico …` line in the deployment files is one that `cico` understands."""

from typing import Any

import pytest
import typer
from deployment_files import DEPLOY, ROOT, commands, documents
from typer.main import get_command

# Typer carries its own copy of Click from some version on; this is the error of whichever it uses.
UsageError: type[Any] = typer.BadParameter.__mro__[1]
FILES = [ROOT / "ray_cluster.yaml", *sorted(f for f in DEPLOY.rglob("*") if f.suffix in {".yaml", ".yml"})]


def understand(command: Any, words: list[str]) -> None:
    """Parse a command line as `cico` would, without running it."""
    name, context = "cico", None
    while True:
        context = command.make_context(name, list(words), parent=context)
        if not hasattr(command, "resolve_command"):
            return
        words = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, words)


@pytest.fixture(scope="module")
def cico() -> Any:
    from cico_platform.cli.main import app

    return get_command(app)


def lines() -> list[tuple[str, list[str]]]:
    told = [file for file in FILES if file.parent in {ROOT, DEPLOY / "compose", DEPLOY / "kubernetes"}]
    found = [(file.name, words) for file in told for words in commands(file.read_text())]
    (compose,) = documents(DEPLOY / "compose" / "compose.yaml")
    for service in compose["services"].values():
        command = service.get("command", [])
        if command[:1] == ["cico"]:
            found.append(("compose.yaml", command[1:]))
    return found


@pytest.mark.parametrize(("file", "words"), lines())
def test_command_is_understood(cico: Any, file: str, words: list[str]) -> None:
    try:
        understand(cico, words)
    except UsageError as error:
        pytest.fail(f"{file}: cico {' '.join(words)}: {error.format_message()}")


def test_there_are_commands_to_check() -> None:
    verbs = {words[0] for _, words in lines()}
    assert {"features", "train", "index", "serve", "demo"} <= verbs


@pytest.mark.parametrize(
    "words", [["doctor", "--nonsense"], ["train", "nonsense"], ["search", "--limit", "x"]]
)
def test_a_mistake_would_be_seen(cico: Any, words: list[str]) -> None:
    with pytest.raises(UsageError):
        understand(cico, words)


def test_every_file_here_is_looked_at() -> None:
    by_other_tests = {"Dockerfile", "Dockerfile.dockerignore", "cico.json", "README.md"}
    files = {file for file in DEPLOY.rglob("*") if file.is_file()}
    assert {file.name for file in files - {*FILES}} <= by_other_tests
