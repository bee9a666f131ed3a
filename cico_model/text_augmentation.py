"""Texts changed at random for training: words change places, are replaced, or are dropped."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cico_model.words import find_words, is_unspaced


class Unit(NamedTuple):
    """A word with the punctuation around it, and the space that follows it in its text."""

    text: str
    gap: str


def augment_text(
    text: str,
    rng: np.random.Generator,
    kind: str = "swap",
    probability: float = 0.5,
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """A text changed at random for training (paper, section 3.4), or as it is.

    Parameters
    ----------
    kind
        "swap": two words change places. "synonym": a word that has synonyms is replaced by one.
        "deletion": each word is dropped with probability 0.1, one is kept.
    probability
        How often the text is changed at all.
    synonyms
        For "synonym": other words by word, lower case.

    Notes
    -----
    Words are those between spaces; where a script writes none, those of `find_words`.

    Examples
    --------
    >>> augment_text("a b", np.random.default_rng(0), probability=1.0)
    'b a'
    >>> augment_text("我喝", np.random.default_rng(0), probability=1.0)
    '喝我'
    """
    if kind not in ("swap", "synonym", "deletion"):
        raise ValueError(f"texts are augmented by swap, synonym or deletion, not '{kind}'")
    units = split_units(text)
    if rng.random() >= probability or not units:
        return text
    words = [unit.text for unit in units]
    gaps = [unit.gap for unit in units]
    if kind == "swap" and len(words) > 1:
        first, second = rng.choice(len(words), 2, replace=False)
        words[first], words[second] = words[second], words[first]
    elif kind == "deletion":
        kept = [i for i in range(len(words)) if rng.random() >= 0.1] or [int(rng.integers(len(words)))]
        words, gaps = [words[i] for i in kept], [gaps[i] for i in kept]
    elif kind == "synonym":
        _replace_one(words, rng, synonyms or {})
    return "".join(word + gap for word, gap in zip(words, gaps, strict=True)).strip()


def split_units(text: str) -> list[Unit]:
    """Cut a text at its spaces, and between the words of scripts that write none.

    Examples
    --------
    >>> [unit.text for unit in split_units("Go home, 他今年四岁。")]
    ['Go', 'home,', '他', '今年', '四岁。']
    """
    units: list[Unit] = []
    for chunk in text.split():
        cuts = [0]
        words = find_words(chunk) if is_unspaced(chunk) else []
        for (before, _, _), (word, start, _) in itertools.pairwise(words):
            if is_unspaced(before) or is_unspaced(word):
                cuts.append(start)
        parts = [chunk[start:end] for start, end in zip(cuts, [*cuts[1:], len(chunk)], strict=True)]
        units += [*(Unit(part, "") for part in parts[:-1]), Unit(parts[-1], " ")]
    return units


def _replace_one(words: list[str], rng: np.random.Generator, synonyms: Mapping[str, Sequence[str]]) -> None:
    """Replace one of the words that have synonyms; the punctuation around it stays."""
    spans = [_known_span(word, synonyms) for word in words]
    choices = [i for i, span in enumerate(spans) if span is not None]
    if not choices:
        return
    index = int(rng.choice(choices))
    word, (start, end) = words[index], spans[index] or (0, 0)
    others = synonyms[word[start:end].lower()]
    words[index] = word[:start] + others[int(rng.integers(len(others)))] + word[end:]


def _known_span(unit: str, synonyms: Mapping[str, Sequence[str]]) -> tuple[int, int] | None:
    """Return the span of the first word of a unit that has synonyms."""
    candidates = [(0, len(unit)), *((start, end) for _, start, end in find_words(unit))]
    return next(((s, e) for s, e in candidates if synonyms.get(unit[s:e].lower())), None)
