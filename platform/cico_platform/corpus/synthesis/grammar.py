"""Grammar: a meaning is signed in one order and written in another.

Signs: time, place, thing (with number and quality after it), recipient, person who acts, act, denial or
question. English: subject, verb, object, with articles, auxiliaries, prepositions and inflection, none of
which has a sign.
"""

from dataclasses import dataclass, fields

import numpy as np

from cico_platform.corpus.synthesis import vocabulary as v

_THING_VERBS = {
    "WANT": ("things", "food", "drinks"),
    "BUY": ("things", "food", "drinks"),
    "SELL": ("things", "food"),
    "FIND": ("things",),
    "SEE": ("things", "people"),
    "LOOK-FOR": ("things", "people"),
    "EAT": ("food",),
    "DRINK": ("drinks",),
    "LOVE": ("people", "food"),
    "HELP": ("people",),
    "VISIT": ("people",),
    "WAIT-FOR": ("people",),
    "FORGET": ("things", "people"),
    "BRING": ("things", "food", "drinks"),
    "CLEAN": ("things",),
    "NEED": ("things", "drinks"),
    "GIVE": ("things", "food"),
    "SHOW": ("things",),
    "SEND": ("things",),
}
_GIVING = ("GIVE", "SHOW", "SEND")
_CLASSES: dict[str, tuple[str, ...]] = {
    "things": tuple(v.THINGS),
    "food": tuple(v.FOOD),
    "drinks": tuple(v.DRINKS),
    "people": (*v.PEOPLE, *v.PRONOUNS),
}
_ASKING = ("QUESTION", "WHERE", "WHY")
_NOUNS = {**v.PEOPLE, **v.THINGS, **v.FOOD, **v.DRINKS}


@dataclass(frozen=True)
class Meaning:
    """What a sentence says, in glosses; `verb`, `thing` and `subject` are always there."""

    verb: str
    thing: str
    subject: str
    recipient: str | None = None
    time: str | None = None
    place: str | None = None
    number: str | None = None
    quality: str | None = None
    ending: str | None = None

    def glosses(self) -> tuple[str, ...]:
        """The signs in their order."""
        thing = (self.thing, self.number, self.quality)
        asked = self.subject == "WHO"
        acting = (
            self.recipient,
            None if asked else self.subject,
            self.verb,
            self.ending,
            "WHO" if asked else None,
        )
        return tuple(g for g in (self.time, self.place, *thing, *acting) if g)

    def valid(self) -> bool:
        """Whether the parts fit one another and the sentence has three to seven signs."""
        classes = [c for c in _THING_VERBS[self.verb] if self.thing in _CLASSES[c]]
        persons = [p for p in (self.thing, self.subject, self.recipient) if p]
        pronoun = self.thing in v.PRONOUNS
        return (
            bool(classes)
            and len(set(persons)) == len(persons)
            and (self.recipient is not None) == (self.verb in _GIVING)
            and not (self.number and (pronoun or self.thing in v.UNCOUNTABLE or self.thing in v.PEOPLE))
            and not (self.quality and pronoun)
            and not (self.quality in ("EXPENSIVE", "RED", "BLUE") and self.thing in v.PEOPLE)
            and not (self.subject == "WHO" and self.ending is not None)
            and not (self.place and self.ending == "WHERE")
            and {self.thing, self.subject} != {"I", "WE"}
            and 3 <= len(self.glosses()) <= 7
        )


class Chooser:
    """Chooses glosses so that rare ones catch up: the more often one was taken, the less likely it is."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.taken: dict[str, int] = {}

    def pick(self, options: tuple[str, ...]) -> str:
        """One of the options."""
        weights = np.array([1.0 / (3 + self.taken.get(o, 0)) for o in options])
        return options[int(self.rng.choice(len(options), p=weights / weights.sum()))]

    def note(self, glosses: tuple[str, ...]) -> None:
        """Count the signs of an accepted sentence."""
        for gloss in glosses:
            self.taken[gloss] = self.taken.get(gloss, 0) + 1


def random_meaning(chooser: Chooser) -> Meaning:
    """A valid meaning."""
    rng = chooser.rng
    while True:
        verb = chooser.pick(tuple(_THING_VERBS))
        kinds = _THING_VERBS[verb]
        thing = chooser.pick(_CLASSES[kinds[int(rng.integers(len(kinds)))]])
        people = (*v.PEOPLE, *v.PRONOUNS)
        ending = subject = None
        if rng.random() < 0.34:
            ending = chooser.pick(("NOT", *_ASKING, "WHO"))
        if ending == "WHO":
            subject, ending = "WHO", None
        meaning = Meaning(
            verb=verb,
            thing=thing,
            subject=subject or chooser.pick(people),
            recipient=chooser.pick(people) if verb in _GIVING else None,
            time=chooser.pick(tuple(v.TIME_PHRASES)) if rng.random() < 0.5 else None,
            place=chooser.pick(tuple(v.PLACE_PHRASES)) if rng.random() < 0.3 and ending != "WHERE" else None,
            number=chooser.pick(tuple(v.NUMBERS)) if rng.random() < 0.18 else None,
            quality=chooser.pick(tuple(v.ADJECTIVES)) if rng.random() < 0.42 else None,
            ending=ending,
        )
        if meaning.valid():
            return meaning


def neighbour(meaning: Meaning, chooser: Chooser) -> Meaning:
    """A meaning that differs in one part, or in who does what to whom; always valid."""
    parts = {f.name: getattr(meaning, f.name) for f in fields(meaning)}
    swaps = [
        n for n in ("thing", "recipient") if parts[n] in _CLASSES["people"] and parts["subject"] != "WHO"
    ]
    if swaps and chooser.rng.random() < 0.5:
        role = swaps[-1]
        swapped = Meaning(**{**parts, role: parts["subject"], "subject": parts[role]})
        if swapped.valid():
            return swapped
    people = (*v.PEOPLE, *v.PRONOUNS)
    options: dict[str, tuple[str, ...]] = {
        "verb": tuple(_THING_VERBS),
        "thing": tuple(_NOUNS),
        "subject": people,
        "recipient": people,
        "time": tuple(v.TIME_PHRASES),
        "place": tuple(v.PLACE_PHRASES),
        "number": tuple(v.NUMBERS),
        "quality": tuple(v.ADJECTIVES),
        "ending": ("NOT", *_ASKING),
    }
    filled = [name for name in options if parts[name]]
    while True:
        name = filled[int(chooser.rng.integers(len(filled)))]
        other = Meaning(**{**parts, name: chooser.pick(options[name])})
        if other != meaning and other.valid():
            return other
