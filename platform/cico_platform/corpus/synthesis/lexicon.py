"""The signs: each one a handshape, a place, a movement and an orientation; some differ in one of these alone.

The signs are invented. Their names are English words, but no sign language's sign is meant or imitated.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Hands = Literal["one", "both", "turns", "base"]

# Outward from the middle of the body on the signing hand's side, and downward from the shoulders.
PLACES = MappingProxyType(
    {
        "forehead": (0.20, -1.18),
        "temple": (0.62, -1.02),
        "cheek": (0.58, -0.62),
        "mouth": (0.16, -0.52),
        "chin": (0.22, -0.30),
        "shoulder": (-0.42, 0.14),
        "chest": (0.20, 0.45),
        "front": (0.48, 0.78),
        "belly": (0.24, 1.22),
        "side": (1.12, 0.34),
        "high": (1.12, -0.55),
    }
)
# Where the fingers point: degrees from upward, towards the middle of the body.
DIRECTIONS = MappingProxyType({"up": 0.0, "tilt": 42.0, "in": 88.0, "down": 170.0, "out": -55.0})
# Which side of the hand the viewer sees: degrees of turn about the forearm's axis.
FACINGS = MappingProxyType({"palm": 0.0, "edge": 75.0, "back": 180.0})

MOVEMENTS = (
    "hold", "tap", "up", "down", "in", "out", "rise", "fall", "arc", "circle", "zigzag", "shake", "nod",
    "twist", "turn", "wag", "wiggle", "dip",
)  # fmt: skip


@dataclass(frozen=True)
class Sign:
    """One sign.

    Attributes
    ----------
    gloss
        Its name, in capitals as glosses are written.
    hand, into
        Handshape at the start and at the end.
    place, movement, fingers, faces
        Keys of `PLACES`, `MOVEMENTS`, `DIRECTIONS` and `FACINGS`.
    hands
        One hand; both as mirror images; both in turns; or one acting on the other, which is the base.
    base
        Handshape of the base.
    """

    gloss: str
    hand: str
    place: str
    movement: str
    fingers: str = "up"
    faces: str = "palm"
    hands: Hands = "one"
    into: str | None = None
    base: str = "flat"

    @property
    def form(self) -> tuple[str | None, ...]:
        """Everything that decides how the sign looks."""
        return (
            self.hand,
            self.into,
            self.place,
            self.movement,
            self.fingers,
            self.faces,
            self.hands,
            self.base if self.hands == "base" else None,
        )


_SIGNS = (
    # people
    Sign("I", "point", "chest", "tap", "in", "back"),
    Sign("YOU", "point", "side", "out", "out", "palm"),
    Sign("WE", "point", "shoulder", "arc", "up", "back"),
    Sign("THEY", "point", "side", "shake", "out", "palm"),
    Sign("MOTHER", "five", "chin", "tap", "tilt", "edge"),
    Sign("FATHER", "five", "forehead", "tap", "tilt", "edge"),
    Sign("SISTER", "ell", "cheek", "fall", "up", "palm"),
    Sign("CHILD", "flat", "side", "nod", "in", "back"),
    Sign("TEACHER", "bunch", "forehead", "out", "up", "palm", "both", "five"),
    Sign("DOCTOR", "vee", "front", "tap", "in", "back", "base", base="fist"),
    Sign("FRIEND", "hook", "front", "turn", "in", "palm", "base", base="point"),
    Sign("NEIGHBOUR", "flat", "front", "in", "up", "back", "both"),
    # things
    Sign("BOOK", "flat", "front", "turn", "up", "palm", "both"),
    Sign("CAR", "fist", "chest", "zigzag", "tilt", "back", "turns"),
    Sign("HOUSE", "flat", "forehead", "fall", "tilt", "edge", "both"),
    Sign("DOG", "flat", "belly", "tap", "down", "back"),
    Sign("CAT", "ring", "mouth", "out", "up", "palm", "both"),
    Sign("LETTER", "thumb", "mouth", "down", "up", "palm", "base"),
    Sign("PHONE", "wye", "cheek", "hold", "up", "back"),
    Sign("KEY", "hook", "front", "twist", "in", "palm", "base"),
    Sign("FLOWER", "bunch", "mouth", "arc", "up", "back", into="five"),
    Sign("PICTURE", "cee", "temple", "down", "up", "palm"),
    Sign("TABLE", "flat", "chest", "nod", "in", "back", "both"),
    Sign("BREAD", "flat", "front", "fall", "in", "edge", "base"),
    Sign("APPLE", "hook", "cheek", "twist", "up", "palm"),
    Sign("ICE-CREAM", "fist", "mouth", "nod", "up", "edge"),
    Sign("CHEESE", "flat", "front", "twist", "in", "palm", "base"),
    Sign("COFFEE", "fist", "front", "circle", "tilt", "back", "base", base="fist"),
    Sign("WATER", "three", "chin", "tap", "up", "palm"),
    Sign("MILK", "cee", "side", "hold", "up", "edge", into="fist"),
    # places
    Sign("SCHOOL", "flat", "front", "tap", "in", "back", "base"),
    Sign("HOSPITAL", "horns", "shoulder", "down", "tilt", "back"),
    Sign("GARDEN", "five", "belly", "circle", "tilt", "back", "both"),
    Sign("STATION", "vee", "front", "shake", "in", "back", "base", base="vee"),
    Sign("CITY", "flat", "temple", "tap", "tilt", "edge", "turns"),
    # times
    Sign("YESTERDAY", "thumb", "cheek", "rise", "up", "palm"),
    Sign("TODAY", "wye", "belly", "nod", "up", "back", "both"),
    Sign("TOMORROW", "thumb", "cheek", "out", "out", "back"),
    Sign("MORNING", "flat", "belly", "up", "in", "back", "base"),
    Sign("EVENING", "flat", "high", "fall", "in", "back", "both"),
    Sign("OFTEN", "flat", "side", "arc", "in", "palm"),
    # verbs
    Sign("SEE", "vee", "temple", "out", "up", "back"),
    Sign("WANT", "claw", "front", "in", "up", "palm", "both"),
    Sign("BUY", "bunch", "front", "out", "tilt", "palm", "base"),
    Sign("SELL", "bunch", "chest", "wag", "down", "back", "both"),
    Sign("GIVE", "bunch", "chest", "rise", "up", "back"),
    Sign("SHOW", "point", "front", "out", "in", "palm", "base", base="five"),
    Sign("SEND", "bunch", "chest", "out", "tilt", "back", into="five"),
    Sign("FIND", "five", "belly", "up", "up", "palm", into="ring"),
    Sign("LOOK-FOR", "cee", "forehead", "circle", "up", "edge"),
    Sign("EAT", "bunch", "mouth", "tap", "tilt", "back"),
    Sign("DRINK", "cee", "mouth", "wag", "up", "edge"),
    Sign("LOVE", "fist", "shoulder", "hold", "tilt", "back", "both"),
    Sign("HELP", "thumb", "belly", "up", "up", "palm", "base"),
    Sign("VISIT", "vee", "chest", "circle", "up", "palm", "turns"),
    Sign("WAIT-FOR", "five", "side", "wiggle", "up", "back", "both"),
    Sign("FORGET", "flat", "forehead", "out", "in", "back", into="fist"),
    Sign("BRING", "flat", "side", "in", "in", "palm", "both"),
    Sign("CLEAN", "flat", "front", "out", "in", "back", "base"),
    Sign("NEED", "hook", "front", "dip", "up", "palm"),
    # describing
    Sign("RED", "point", "mouth", "down", "up", "back"),
    Sign("BLUE", "flat", "high", "twist", "up", "palm"),
    Sign("BIG", "ell", "chest", "out", "up", "palm", "both"),
    Sign("SMALL", "flat", "side", "in", "up", "edge", "both"),
    Sign("OLD", "fist", "chin", "zigzag", "up", "edge"),
    Sign("NEW", "flat", "front", "arc", "tilt", "back", "base"),
    Sign("BEAUTIFUL", "five", "cheek", "circle", "up", "back", into="bunch"),
    Sign("EXPENSIVE", "bunch", "front", "up", "up", "back", "base", into="five"),
    # numbers
    Sign("TWO", "vee", "high", "hold", "up", "back"),
    Sign("THREE", "three", "high", "hold", "up", "back"),
    Sign("MANY", "fist", "side", "up", "up", "back", "both", "five"),
    # asking and denying
    Sign("NOT", "thumb", "chin", "out", "tilt", "edge"),
    Sign("QUESTION", "point", "high", "dip", "up", "palm", into="hook"),
    Sign("WHERE", "point", "high", "wag", "up", "palm"),
    Sign("WHY", "five", "temple", "fall", "in", "back", into="wye"),
    Sign("WHO", "ell", "mouth", "circle", "in", "edge"),
)  # fmt: skip

LEXICON = MappingProxyType({sign.gloss: sign for sign in _SIGNS})
GLOSSES = tuple(LEXICON)
