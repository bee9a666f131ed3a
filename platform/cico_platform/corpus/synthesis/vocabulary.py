"""Vocabulary: the English words that stand for each sign, and the forms that they take in a sentence."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Verb:
    """A verb's forms: give, gives, gave, giving."""

    base: str
    third: str
    past: str
    gerund: str


def _verb(base: str, past: str | None = None, gerund: str | None = None, third: str | None = None) -> Verb:
    """Regular forms unless given; only the first word of a verb with a preposition is inflected."""
    word, _, rest = base.partition(" ")
    tail = f" {rest}" if rest else ""
    past = past or (word + "d" if word.endswith("e") else word + "ed")
    gerund = gerund or (word[:-1] + "ing" if word.endswith("e") else word + "ing")
    return Verb(base, (third or word + "s") + tail, past + tail, gerund + tail)


VERBS = MappingProxyType(
    {
        "SEE": (_verb("see", "saw", "seeing"), _verb("notice")),
        "WANT": (_verb("want"), _verb("wish for", third="wishes")),
        "BUY": (_verb("buy", "bought"), _verb("purchase")),
        "SELL": (_verb("sell", "sold"),),
        "GIVE": (_verb("give", "gave"), _verb("hand")),
        "SHOW": (_verb("show"), _verb("present")),
        "SEND": (_verb("send", "sent"), _verb("mail")),
        "FIND": (_verb("find", "found"), _verb("discover")),
        "LOOK-FOR": (_verb("look for"), _verb("search for", third="searches")),
        "EAT": (_verb("eat", "ate"),),
        "DRINK": (_verb("drink", "drank"), _verb("sip", "sipped", "sipping")),
        "LOVE": (_verb("love"), _verb("adore")),
        "HELP": (_verb("help"), _verb("assist")),
        "VISIT": (_verb("visit"), _verb("call on")),
        "WAIT-FOR": (_verb("wait for"), _verb("await")),
        "FORGET": (_verb("forget", "forgot", "forgetting"),),
        "BRING": (_verb("bring", "brought"), _verb("fetch", third="fetches")),
        "CLEAN": (_verb("clean"), _verb("tidy", "tidied", third="tidies")),
        "NEED": (_verb("need"), _verb("require")),
    }
)
PRONOUNS = MappingProxyType(
    {"I": ("i", "me"), "YOU": ("you", "you"), "WE": ("we", "us"), "THEY": ("they", "them")}
)
PEOPLE = MappingProxyType(
    {
        "MOTHER": ("mother", "mum"),
        "FATHER": ("father", "dad"),
        "SISTER": ("sister",),
        "CHILD": ("child", "kid"),
        "TEACHER": ("teacher",),
        "DOCTOR": ("doctor", "physician"),
        "FRIEND": ("friend", "buddy"),
        "NEIGHBOUR": ("neighbour",),
    }
)
THINGS = MappingProxyType(
    {
        "BOOK": ("book",),
        "CAR": ("car", "automobile"),
        "HOUSE": ("house", "home"),
        "DOG": ("dog",),
        "CAT": ("cat",),
        "LETTER": ("letter",),
        "PHONE": ("phone", "telephone"),
        "KEY": ("key",),
        "FLOWER": ("flower",),
        "PICTURE": ("picture", "photo"),
        "TABLE": ("table", "desk"),
    }
)
FOOD = MappingProxyType(
    {"BREAD": ("bread",), "APPLE": ("apple",), "ICE-CREAM": ("ice cream",), "CHEESE": ("cheese",)}
)
DRINKS = MappingProxyType({"COFFEE": ("coffee",), "WATER": ("water",), "MILK": ("milk",)})
UNCOUNTABLE = frozenset({"BREAD", "ICE-CREAM", "CHEESE", "COFFEE", "WATER", "MILK"})
PLACE_PHRASES = MappingProxyType(
    {
        "SCHOOL": ("at school", "in the school"),
        "HOSPITAL": ("at the hospital", "in the clinic"),
        "GARDEN": ("in the garden", "in the yard"),
        "STATION": ("at the station", "at the train station"),
        "CITY": ("in the city", "in town"),
    }
)
# Words, and the tense that they ask for.
TIME_PHRASES = MappingProxyType(
    {
        "YESTERDAY": (("yesterday", "the day before"), "past"),
        "TODAY": (("today", "now"), "present"),
        "TOMORROW": (("tomorrow", "the next day"), "future"),
        "MORNING": (("in the morning", "this morning"), "present"),
        "EVENING": (("in the evening", "tonight"), "future"),
        "OFTEN": (("often", "frequently"), "habit"),
    }
)
ADJECTIVES = MappingProxyType(
    {
        "RED": ("red",),
        "BLUE": ("blue",),
        "BIG": ("big", "large"),
        "SMALL": ("small", "little"),
        "OLD": ("old",),
        "NEW": ("new", "brand new"),
        "BEAUTIFUL": ("beautiful", "lovely"),
        "EXPENSIVE": ("expensive", "costly"),
    }
)
NUMBERS = MappingProxyType({"TWO": ("two", "a pair of"), "THREE": ("three",), "MANY": ("many", "a lot of")})
VOWELS = "aeiou"
