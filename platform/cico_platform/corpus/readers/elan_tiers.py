"""Choose the tiers of an ELAN document that hold sentences, by their names or by `--tier`."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from cico_platform.corpus.readers.elan_document import Tier

# Beginnings of words in the names of tiers that hold sentences.
SENTENCES = (
    "transl", "sentence", "satz", "sätze", "übersetz", "ubersetz", "uebersetz", "caption", "subtitle",
    "untertit", "utterance", "free", "freetransl", "freie", "vertaling", "ondertit", "zin", "traduc",
    "traduz", "traduç", "frase", "phrase", "översätt", "oversett", "oversæt", "undertext", "käännös",
    "kaannos", "lause", "překlad", "preklad", "veta", "prevod", "tłumacz", "tlumacz", "zdanie", "перевод",
    "предложени", "fordítás", "çeviri", "תרגום", "翻译", "翻訳", "번역",
)  # fmt: skip
SENTENCE_WORDS = ("text", "texts", "tekst", "texte", "texto", "testo", "ft")
# Beginnings of words in the names of tiers that hold something else, whatever else their names say.
NEVER = (
    "mouth", "mund", "mond", "gloss", "glos", "idgloss", "lexem", "lemma", "context", "kontext",
    "contexte", "comment", "kommentar", "remark", "hamnosys", "phonolog", "nonmanual", "nmf", "nms",
    "nme",
)  # fmt: skip
# The same, for names that do not also say that they hold sentences.
OTHERWISE = (
    "sign", "gebärde", "gebaerde", "gebaar", "meaning", "bedeutung", "note", "notiz", "hand", "rh", "lh",
    "head", "kopf", "eye", "brow", "gaze", "blick", "face", "facial", "cheek", "nose", "neck", "body",
    "shoulder", "pos", "tag", "topic", "thema", "clause", "negat", "question", "role", "adverb",
    "condition", "dominant", "classifier", "constructed", "segment", "variant", "category", "location",
    "movement", "orientation", "handshape",
)  # fmt: skip
LITERAL = ("lit", "liter", "littransl", "wörtlich", "woertlich", "wort")
SHORTEST_BEGINNING = 4


def words_of(name: str) -> list[str]:
    """The words of a tier's name, in lower case: cut at signs, digits and capitals.

    >>> words_of("TranslationNarrow S1"), words_of("RH-IDgloss"), words_of("Deutsche_Übersetzung_A")
    (['translation', 'narrow', 's'], ['rh', 'idgloss'], ['deutsche', 'übersetzung', 'a'])
    """
    spaced = re.sub(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])", " ", name)
    return [word for word in re.split(r"[\W\d_]+", spaced.lower()) if word]


def sentence_tiers(tiers: Sequence[Tier], wanted: Sequence[str]) -> tuple[list[Tier], str | None]:
    """The tiers that hold sentences, and how they were chosen.

    Parameters
    ----------
    tiers
        The document's tiers that hold annotations.
    wanted
        Names or patterns (`*`, `?`) that people choose tiers by; empty to go by what the names say.

    Returns
    -------
    tuple
        The tiers. The second value is None if their names say that they hold sentences; else a sentence that
        says why these, or none, were taken.
    """
    if wanted:
        chosen = [t for t in tiers if any(matches(t.name, pattern) for pattern in wanted)]
        return chosen, None if chosen else "the document has no tier of the names that were asked for"
    verdicts = {id(tier): _verdict(tier) for tier in tiers}
    named = [tier for tier in tiers if verdicts[id(tier)] == "sentences"]
    if named:
        free = [tier for tier in named if not _begins(words_of(tier.name), LITERAL)]
        return free or named, None
    unknown = [tier for tier in tiers if verdicts[id(tier)] == "unknown"]
    if unknown:
        return unknown, "no tier's name says that it holds sentences: all that could were taken"
    names = ", ".join(tier.name for tier in tiers[:8])
    return [], f"no tier holds sentences by its name ({names}); choose one with --tier"


def matches(name: str, pattern: str) -> bool:
    """Whether a name is the one that a pattern says, in any case."""
    return fnmatchcase(name.casefold(), pattern.casefold())


def _verdict(tier: Tier) -> str:
    """`sentences`, `other` or `unknown`: by the tier's name, else by its linguistic type."""
    for words in (words_of(tier.name), words_of(tier.kind)):
        if _begins(words, NEVER):
            return "other"
        if _begins(words, SENTENCES) or any(word in SENTENCE_WORDS for word in words):
            return "sentences"
        if _begins(words, OTHERWISE):
            return "other"
    return "unknown"


def _begins(words: list[str], beginnings: tuple[str, ...]) -> bool:
    """Whether a word begins with one of these; a short one must be the whole word."""
    return any(
        word.startswith(beginning) if len(beginning) >= SHORTEST_BEGINNING else word == beginning
        for word in words
        for beginning in beginnings
    )
