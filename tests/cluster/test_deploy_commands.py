"""Every `cico …` line in the deployment files is one that `cico` understands."""

import click
import pytest
from deployment_files import DEPLOY, ROOT, commands, documents
from typer.main import get_command

FILES = [ROOT / "ray_cluster.yaml", *sorted(f for f in DEPLOY.rglob("*") if f.suffix in {".yaml", ".yml"})]


def understand(words: list[str]) -> None:
    """Parse a command line as `cico` would, without running it."""
    from cico_platform.cli.main import app

    command = get_command(app)
    parent = None
    while True:
        context = command.make_context(
            words[0], words[1:] if parent else words, parent=parent, resilient_parsing=False
        )
        if not isinstance(command, click.Group):
            return
        _, found, rest = command.resolve_command(context, words if parent is None else words[1:])
        assert found is not None
        command, words, parent = found, [found.name or "", *rest], context


def lines() -> list[tuple[str, list[str]]]:
    found = [(file.name, words) for file in FILES for words in commands(file.read_text())]
    (compose,) = documents(DEPLOY / "compose" / "compose.yaml")
    for service in compose["services"].values():
        command = service.get("command", [])
        if command[:1] == ["cico"]:
            found.append(("compose.yaml", command[1:]))
    return found


@pytest.mark.parametrize(("file", "words"), lines())
def test_command_is_understood(file: str, words: list[str]) -> None:
    try:
        understand(words)
    except click.UsageError as error:
        pytest.fail(f"{file}: cico {' '.join(words)}: {error.format_message()}")


def test_there_are_commands_to_check() -> None:
    verbs = {words[0] for _, words in lines()}
    assert {"features", "train", "index", "serve", "demo"} <= verbs


def test_an_unknown_option_would_be_seen() -> None:
    with pytest.raises(click.UsageError):
        understand(["doctor", "--nonsense"])


def test_every_file_here_is_looked_at() -> None:
    by_other_tests = {"Dockerfile", "Dockerfile.dockerignore", "cico.json", "README.md"}
    files = {file for file in DEPLOY.rglob("*") if file.is_file()}
    assert {file.name for file in files - {*FILES}} <= by_other_tests
