"""Texts of a corpus: the names that equal texts share, and which are names of signs."""

import hashlib
import re

import regex

from cico_model.words import find_words, is_unspaced

LONGEST_TEXT = 5000
# Where a script writes no spaces, a dictionary may cut a sign's name ("ห้อง|น้ำ"): so short a text is one.
LONGEST_UNSPACED_WORD = 4
SENTENCE_END = re.compile(r".[.!?…。！？।]+$", re.DOTALL)
GRAPHEME = regex.compile(r"\X")


def text_id_of(text: str) -> str:
    """The name that all clips of one (clean) text share."""
    return "t" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def is_single_word(text: str) -> bool:
    """Whether a clean text is one word (a sign's name) and not a sentence.

    >>> [is_single_word(t) for t in ("home", "go home", "stop!", "他今年四岁", "谢谢", "โรงเรียน")]
    [True, False, False, False, True, True]
    """
    if not text or " " in text or SENTENCE_END.search(text):
        return False
    if not is_unspaced(text) or len(find_words(text)) == 1:
        return True
    return len(GRAPHEME.findall(text)) <= LONGEST_UNSPACED_WORD
