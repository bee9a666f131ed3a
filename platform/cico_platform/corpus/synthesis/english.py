"""English: one of the ways of writing down a meaning."""

import numpy as np

from cico_platform.corpus.synthesis import vocabulary as v
from cico_platform.corpus.synthesis.grammar import Meaning


def _one(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _plural(noun: str) -> str:
    return noun + "s"


def _noun_phrase(meaning: Meaning, gloss: str, rng: np.random.Generator) -> str:
    """The thing, or a person who is acted on, with its number, quality and article."""
    if gloss in v.PRONOUNS:
        return v.PRONOUNS[gloss][1]
    nouns = {**v.PEOPLE, **v.THINGS, **v.FOOD, **v.DRINKS}
    noun = _one(nouns[gloss], rng)
    inner = gloss == meaning.thing
    quality = _one(v.ADJECTIVES[meaning.quality], rng) + " " if inner and meaning.quality else ""
    if inner and meaning.number:
        return f"{_one(v.NUMBERS[meaning.number], rng)} {quality}{_plural(noun)}"
    if gloss in v.UNCOUNTABLE:
        return f"{_one(('the ', 'some ', ''), rng)}{quality}{noun}"
    indefinite = "an" if (quality + noun)[0] in v.VOWELS else "a"
    article = "the" if gloss in v.PEOPLE else _one((indefinite, "the", indefinite), rng)
    return f"{article} {quality}{noun}"


def _subject(meaning: Meaning, rng: np.random.Generator) -> str:
    if meaning.subject == "WHO":
        return "who"
    if meaning.subject in v.PRONOUNS:
        return v.PRONOUNS[meaning.subject][0]
    return "the " + _one(v.PEOPLE[meaning.subject], rng)


def _auxiliary(tense: str, subject: str) -> str:
    if tense == "past":
        return "did"
    if tense == "future":
        return "will"
    return "do" if subject in ("I", "YOU", "WE", "THEY") else "does"


def _statement_verb(verb: v.Verb, tense: str, gloss: str, rng: np.random.Generator) -> str:
    if tense == "past":
        return verb.past
    if tense == "future":
        return f"will {verb.base}"
    return verb.base if gloss in ("I", "YOU", "WE", "THEY") else verb.third


def _clause(meaning: Meaning, tense: str, adverb: str, rng: np.random.Generator) -> str:
    options = v.VERBS[meaning.verb]
    verb = options[int(rng.integers(len(options)))]
    subject = _subject(meaning, rng)
    thing = _noun_phrase(meaning, meaning.thing, rng)
    objects = thing
    if meaning.recipient:
        objects = f"{thing} to {_noun_phrase(meaning, meaning.recipient, rng)}"
    adverb = f"{adverb} " if adverb else ""
    auxiliary = _auxiliary(tense, meaning.subject)
    if meaning.ending == "NOT":
        negation = _one(
            (f"{auxiliary} not", {"did": "didn't", "will": "won't"}.get(auxiliary, f"{auxiliary}n't")), rng
        )
        return f"{subject} {negation} {adverb}{verb.base} {objects}"
    if meaning.ending in ("QUESTION", "WHERE", "WHY"):
        opening = {"QUESTION": "", "WHERE": "where ", "WHY": "why "}[meaning.ending]
        return f"{opening}{auxiliary} {subject} {adverb}{verb.base} {objects}"
    return f"{subject} {adverb}{_statement_verb(verb, tense, meaning.subject, rng)} {objects}"


def write(meaning: Meaning, rng: np.random.Generator) -> tuple[str, str]:
    """One English sentence: normalised (lower case, no final mark) and as a person would write it.

    The words for each sign, the articles and the places of time and place in the sentence are chosen by lot.
    """
    phrases, tense = v.TIME_PHRASES[meaning.time] if meaning.time else (("",), "present")
    time = _one(phrases, rng)
    adverb = time if tense == "habit" else ""
    sentence = _clause(meaning, tense, adverb, rng)
    asks = meaning.ending in ("QUESTION", "WHERE", "WHY") or meaning.subject == "WHO"
    if meaning.place:
        sentence += " " + _one(v.PLACE_PHRASES[meaning.place], rng)
    comma = sentence
    if time and not adverb:
        if not asks and rng.random() < 0.5:
            sentence, comma = f"{time} {sentence}", f"{time}, {sentence}"
        else:
            sentence = comma = f"{sentence} {time}"
    original = " ".join("I" if word == "i" else word for word in comma.split(" "))
    return sentence, original[0].upper() + original[1:] + ("?" if asks else ".")
