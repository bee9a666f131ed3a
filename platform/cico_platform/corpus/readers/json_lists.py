"""Annotation files that are one list of JSON objects."""

import json
from typing import Any

from cico_platform.corpus.readers.rows import decode_text, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place

SUFFIX = ".json"
# Boxes of detectors reach over the frame by so much of it.
BEYOND = 0.1
NO_BOX = "sign with a box that is none: the signer is searched for"


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


def fractions(value: object) -> tuple[float, float, float, float] | None:
    """Two corners in fractions of the frame, cut to it; None for what is no such box, as one in pixels."""
    found = numbers(value, 4)
    if found is None or not all(-BEYOND <= v <= 1 + BEYOND for v in found):
        return None
    a, b, c, d = (min(max(v, 0.0), 1.0) for v in found)
    return (a, b, c, d) if a < c and b < d else None
