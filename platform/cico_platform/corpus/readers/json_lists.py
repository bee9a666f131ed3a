"""Annotation files that are one list of JSON objects."""

import json
from typing import Any

from cico_platform.corpus.readers.rows import decode_text, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place

SUFFIX = ".json"


def load_list(source: Place) -> list[Any]:
    """The entries of a JSON file that holds a list.

    Raises
    ------
    InputError
        If it cannot be read, is no JSON, or holds no list.
    """
    text = decode_text(read_bytes(source))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{source}' is not JSON: {error}") from error
    if not isinstance(data, list):
        raise InputError(f"'{source}' holds no list")
    return data


def holds_entries(source: Place, keys: frozenset[str]) -> bool:
    """Whether a source is a JSON list whose first object has all of some keys."""
    if source.suffix.lower() != SUFFIX or not source.is_file():
        return False
    try:
        entries = load_list(source)
    except InputError:
        return False
    first = next((entry for entry in entries if isinstance(entry, dict)), {})
    return keys <= set(first)


def text_of(value: object) -> str:
    """A JSON value as text; what is absent is empty."""
    return "" if value is None else str(value)


def numbers(value: object, count: int) -> list[float] | None:
    """A list of so many numbers; None if it is anything else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        return None
    return [float(v) for v in value]
