"""What all settings have in common: typed, frozen, and a name that is not known is an error."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

# Called with how many clips are done, and how many there are.
OnProgress = Callable[[int, int], None]


class Settings(BaseModel):
    """Base of the settings that live beside what they set."""

    model_config = ConfigDict(frozen=True, extra="forbid")
