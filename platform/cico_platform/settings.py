"""What all settings have in common: typed, frozen, and a name that is not known is an error."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cico_platform.errors import InputError

SHOWN_CHARACTERS = 80
UNKNOWN = "extra_forbidden"


class OnProgress(Protocol):
    """Called with how many clips (or steps) are done, and how many there are.

    `quarantined` is how many of those done are in quarantine, `windows` how many were encoded so far, `note`
    what else there is to say.
    """

    def __call__(
        self, done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = ""
    ) -> None: ...


class Settings(BaseModel):
    """Base of the settings that live beside what they set."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Settings)


def validated(kind: type[S], values: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> S:
    """Settings of these values.

    Parameters
    ----------
    origins
        Where a value comes from, by its name (`a.b` for a nested one), for the message.

    Raises
    ------
    InputError
        If a value is out of range or a name is unknown: it says which, and where it was given.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        place = _origin(name, origins or {})
        given = repr(first["input"])
        given = given if len(given) <= SHOWN_CHARACTERS else f"{given[:SHOWN_CHARACTERS]}…"
        said = f"{first['msg']} (was given {given})"
        if first["type"] == UNKNOWN:
            said = f"there is no such setting{_guess(kind, first['loc'])}"
        raise InputError(f"setting '{name}'{f' ({place})' if place else ''}: {said}") from error


def _origin(name: str, origins: Mapping[str, str]) -> str:
    """Where the value, or the group or list that holds it, was given."""
    while name and name not in origins:
        name = name.rpartition(".")[0]
    return origins.get(name, "")


def _guess(kind: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """The known name that is most like the last of `loc`, as the end of a sentence."""
    for part in loc[:-1]:
        field = kind.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            return ""
        kind = field.annotation
    found = get_close_matches(str(loc[-1]), list(kind.model_fields), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""
