"""What all settings have in common: typed, frozen, and a name that is not known is an error."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict


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
