"""Settings from a YAML file, from options and from `name=value` pairs, each over the one before."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from cico_platform.errors import InputError
from cico_platform.settings import Settings, validated
from cico_platform.storage import Place, place

S = TypeVar("S", bound=Settings)
# A person's settings are a page; what is larger was meant for something else.
MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class ConfigFile:
    """What a YAML file holds, and the line of each of its names (`a.b` for a nested one)."""

    path: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def origin(self, name: str) -> str:
        """Where a name stands, in words."""
        return f"'{self.path}', line {self.lines[name]}"


def read_config(path: str | Place) -> ConfigFile:
    """Read a YAML file of settings; only plain values are taken, nothing in it is ever run.

    Raises
    ------
    InputError
        If it is no such file, too large, or a name is given twice: the line is named.
    """
    text = _read(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[str, int] = {}
        if node is not None:
            _number(node, "", lines, str(path))
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"'{path}'{line}: this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' cannot be read as YAML: {str(error).splitlines()[0]}") from error
    if values is not None and not isinstance(values, dict):
        raise InputError(f"'{path}' holds no settings; they are lines of 'name: value'")
    return ConfigFile(str(path), values or {}, lines)


def resolve(
    base: S,
    config: ConfigFile | None = None,
    sets: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> S:
    """The settings of `base` with the file's over them, then options that were given, then the pairs.

    Parameters
    ----------
    sets
        Pairs `name=value`, as in `lr=0.001`, `tracking.trackers=[mlflow]`, `alpha=null`.
    options
        By the name of the setting, `a.b` for a nested one; None is one that was not given.

    Raises
    ------
    InputError
        If a pair is none, a name unknown or a value out of range: it says which, and where it was given.
    """
    config = config or ConfigFile()
    values = _merged(base.model_dump(), config.values)
    origins = {name: config.origin(name) for name in config.lines}
    for name, value in (options or {}).items():
        if value is not None:
            put(values, name, value)
            origins[name] = f"--{name.rpartition('.')[2].replace('_', '-')}"
    for pair in sets or []:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not all(name.split(".")):
            raise InputError(f"--set takes name=value, not '{pair}'")
        put(values, name, _value(text))
        origins[name] = "--set"
    return validated(type(base), values, origins)


def as_yaml(settings: BaseModel, title: str) -> str:
    """Settings as a file that `read_config` takes, under a comment.

    >>> print(as_yaml(Settings(), "nothing to set"), end="")
    # nothing to set
    {}
    """
    dumped: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return f"# {title}\n{dumped}"


def _read(path: str | Place) -> str:
    file = place(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"the settings '{path}' cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"'{path}' has more than {MAX_BYTES >> 10} KiB; a file of settings is smaller")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not text in UTF-8") from error


def _number(
    node: yaml.Node, prefix: str, lines: dict[str, int], path: str, seen: set[int] | None = None
) -> None:
    """Note the line of every name of a mapping, and of those in it."""
    seen = set() if seen is None else seen
    if isinstance(node, yaml.ScalarNode):
        return
    if id(node) in seen:  # aliases of aliases would make a page of text as large as one likes
        raise InputError(f"'{path}', line {node.start_mark.line + 1}: aliases of groups are not taken")
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _number(item, f"{prefix}{number}.", lines, path, seen)
        return
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"'{path}', line {line}: a name must be a word")
        name = prefix + key.value
        if name in lines:
            raise InputError(f"'{path}', line {line}: '{name}' was given in line {lines[name]} already")
        lines[name] = line
        _number(value, f"{name}.", lines, path, seen)


def _merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in over.items():
        both = isinstance(merged.get(name), dict) and isinstance(value, dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def put(values: dict[str, Any], name: str, value: Any) -> None:
    """Set a value in a tree of dictionaries, by its name.

    >>> tree = {"a": 1}
    >>> put(tree, "b.c", 2)
    >>> tree
    {'a': 1, 'b': {'c': 2}}
    """
    *groups, last = name.split(".")
    for group in groups:
        inner = values.get(group)
        values[group] = dict(inner) if isinstance(inner, dict) else {}
        values = values[group]
    values[last] = value


def _value(text: str) -> Any:
    """A value as JSON has it; a list or a group may leave the quotes away; anything else is text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    if text.lstrip().startswith(("[", "{")):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--set can't read the value '{text}'") from error
    return text
