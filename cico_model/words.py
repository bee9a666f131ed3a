"""The words of a text: Unicode's word boundaries (UAX 29), and a dictionary's where no spaces are written."""

import itertools
from collections.abc import Iterator

import regex
from icu4py.breakers import WordBreaker

# A word's first and last character is a letter, a mark or a digit.
WORD_CHARACTER = regex.compile(r"[\p{L}\p{N}]")
# Scripts written without spaces. ICU cuts them by dictionary (Chinese, Japanese, Thai, Lao, Khmer, Burmese).
UNSPACED = regex.compile(
    r"[\p{scx=Hani}\p{scx=Hira}\p{scx=Kana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}--[\p{P}\p{S}]]", regex.V1
)
HYPHENS = "-\u2010\u2011"
LONE_SURROGATE = regex.compile(r"\p{Cs}")  # ICU takes none
LOCALE = "root"


def find_words(text: str) -> list[tuple[str, int, int]]:
    """Words of a text with the characters they span; punctuation is none.

    Marks belong to their letters. Apostrophes and hyphens inside a word belong to it.

    Parameters
    ----------
    text
        As `clean_text` or `display_text` gives it.

    Examples
    --------
    >>> [word for word, _, _ in find_words("don't stop the well-known boy, 你好!")]
    ["don't", 'stop', 'the', 'well-known', 'boy', '你好']
    """
    spans: list[tuple[int, int]] = []
    hyphen = -1  # where a hyphen ends that directly follows a word
    for segment, start, end in segments(text):
        if not WORD_CHARACTER.search(segment):
            follows = bool(spans) and spans[-1][1] == start
            hyphen = end if segment in HYPHENS and follows else -1
        elif hyphen == start and not (UNSPACED.search(segment) or UNSPACED.search(text[slice(*spans[-1])])):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [(text[start:end], start, end) for start, end in spans]


def segments(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words, spaces and punctuation between word boundaries, with their starts and ends."""
    start = 0
    # An underscore joins words for Unicode; in texts and glosses it stands for a space.
    for segment in WordBreaker(LONE_SURROGATE.sub("\ufffd", text).replace("_", " "), LOCALE):
        end = start + len(segment)
        yield text[start:end], start, end
        start = end


def mark_breaks(text: str, mark: str) -> tuple[str, list[int]]:
    """A text with a mark between the words of scripts that write no spaces, and where the marks now lie.

    Examples
    --------
    >>> mark_breaks("我喝牛奶。 ok go", "|")
    ('我|喝|牛奶。 ok go', [1, 3])
    """
    if not is_unspaced(text):
        return text, []
    words = find_words(text)
    starts = [
        start
        for (before, _, end), (word, start, _) in itertools.pairwise(words)
        if start == end and (is_unspaced(before) or is_unspaced(word))
    ]
    parts = [text[i:j] for i, j in zip([0, *starts], [*starts, len(text)], strict=True)]
    return mark.join(parts), [start + number for number, start in enumerate(starts)]


def has_word(text: str) -> bool:
    """Whether a text has a letter or a digit: whether it says anything that can be searched for."""
    return WORD_CHARACTER.search(text) is not None


def is_unspaced(text: str) -> bool:
    """Whether a text holds characters of a script that is written without spaces."""
    return UNSPACED.search(text) is not None
