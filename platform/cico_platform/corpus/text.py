"""Text: the normalised form that the method sees, and what is told from it."""

import hashlib
import html
import re
import unicodedata

LONGEST_TEXT = 5000
# Scripts written without spaces: there a word is known by its length alone.
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)
LONGEST_UNSPACED_WORD = 4
SENTENCE_END = re.compile(r".[.!?…。！？]+$", re.DOTALL)


def normalise_text(text: str) -> str:
    """One spelling for equal texts: HTML entities resolved, NFC, single spaces, no controls, lower case.

    >>> normalise_text("  Guten\\u00a0 Tag,&amp;  Welt ")
    'guten tag,& welt'
    """
    text = unicodedata.normalize("NFC", html.unescape(text))
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return " ".join(kept.split()).lower()


def text_id_of(text: str) -> str:
    """The name that all clips of one (normalised) text share."""
    return "t" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def is_single_word(text: str) -> bool:
    """Whether a normalised text is one word (a sign's name) and not a sentence.

    >>> [is_single_word(t) for t in ("home", "go home", "stop!", "他今年四岁", "谢谢")]
    [True, False, False, False, True]
    """
    if not text or " " in text or SENTENCE_END.search(text):
        return False
    return not UNSPACED.search(text) or len(text) <= LONGEST_UNSPACED_WORD
