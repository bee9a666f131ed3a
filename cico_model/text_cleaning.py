"""One cleaning of texts for reading, display, training and search: equal texts become equal strings."""

import html
import unicodedata

import ftfy
import regex

# A pass may uncover what the next one resolves ("&amp;amp;nbsp;"); a text that needs more is hostile.
MOST_PASSES = 8
BLANKS = regex.compile(r"[\s\u2800]+")  # the blank Braille pattern too
# Unicode's default-ignorable characters show nothing: zero-width spaces, soft hyphens, byte order marks,
# directional marks, variation selectors, Hangul fillers. Nor do controls and object replacement characters.
IGNORABLE = r"[\p{Default_Ignorable_Code_Point}\p{Cc}\ufff9-\ufffc--[\u200c\u200d\u180b-\u180f]]"
# Scripts in which zero-width joiners choose letter forms that tell words apart.
JOINING = (
    r"[[\p{scx=Arab}\p{scx=Syrc}\p{scx=Mong}\p{scx=Nkoo}\p{scx=Deva}\p{scx=Beng}\p{scx=Guru}\p{scx=Gujr}"
    r"\p{scx=Orya}\p{scx=Taml}\p{scx=Telu}\p{scx=Knda}\p{scx=Mlym}\p{scx=Sinh}\p{scx=Khmr}\p{scx=Mymr}]"
    r"&&[\p{L}\p{M}]]"
)
EMOJI = r"\p{Extended_Pictographic}\p{Emoji_Modifier}"
# A joiner says something after a letter of these scripts (a non-joiner between two) or between two emoji; the
# second of two equal ones never does. Mongolian letters take selectors of their own.
MEANINGLESS = (
    rf"(?<!{JOINING})\u200c|\u200c(?!{JOINING})"
    rf"|(?<!{JOINING}|[{EMOJI}])\u200d|(?<=[{EMOJI}])\u200d(?!\p{{Extended_Pictographic}})"
    r"|(?<!\p{Mongolian})[\u180b-\u180f]"
)
INVISIBLE = regex.compile(IGNORABLE, regex.V1)
JOINERS = regex.compile(MEANINGLESS, regex.V1)
REPEATED = regex.compile(r"([\u200c\u200d])[\u200c\u200d]+")
# What is left of a dotted capital I in lower case.
DOTTED_I = regex.compile(r"i\u0307(?!\p{Mn})")
# Mends broken characters and leaves the writer's quotation marks, ligatures and wide letters. Lone surrogates
# stand for bytes that are no text; readers refuse them.
AS_WRITTEN = ftfy.TextFixerConfig(
    uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, fix_surrogates=False
)


def display_text(text: str) -> str:
    """A text as people see it: broken characters and entities mended, nothing invisible, NFC, single spaces.

    Case, quotation marks and spelling stay as they were written.

    Examples
    --------
    >>> display_text("  Tom &amp;amp; Ana\\u200b\\u00a0went\\ufeff home ")
    'Tom & Ana went home'
    """
    for _ in range(MOST_PASSES):
        shown = _visible(html.unescape(ftfy.fix_text(text, AS_WRITTEN)))
        if shown == text:
            break
        text = shown
    return text


def clean_text(text: str) -> str:
    """A text as the method sees it, the one form of all texts that say the same.

    Broken characters and HTML entities are mended as CLIP does it, characters that nobody sees are dropped,
    spaces are single and letters lower case. Cleaning a clean or a displayed text changes nothing more.

    Returns
    -------
    str
        Empty where nothing is to be seen.

    Examples
    --------
    >>> clean_text("The Boy&amp;nbsp;reads\\u00ad!"), clean_text("\\ufeff"), clean_text("İSTANBUL")
    ('the boy reads!', '', 'istanbul')
    """
    for _ in range(MOST_PASSES):
        cleaned = html.unescape(html.unescape(ftfy.fix_text(text))).lower()
        cleaned = DOTTED_I.sub("i", _visible(cleaned))
        if cleaned == text:
            break
        text = cleaned
    return text


def _visible(text: str) -> str:
    """A text in NFC without characters that show nothing, its white space single."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = INVISIBLE.sub("", BLANKS.sub(" ", text))
    text = JOINERS.sub("", REPEATED.sub(r"\1", text))
    return unicodedata.normalize("NFC", BLANKS.sub(" ", text).strip())
