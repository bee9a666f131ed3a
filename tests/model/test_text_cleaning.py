"""Texts that say the same are equal once they are clean; what a script needs of the invisible stays."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cico_model.text_cleaning import clean_text, display_text

PARTS = [
    "&amp;",
    "&nbsp;",
    "&amp;amp;lt;",
    "\u200d",
    "\u200c",
    "\ufeff",
    "İ",
    "क",
    "्",
    "می",
    "👩",
    "Ａ",
    "\x1b[1m",
]
# Of Latin-1, ftfy takes some sequences for broken UTF-8, and more once what parts them is dropped.
LETTERS = st.characters(min_codepoint=0x250, max_codepoint=0x2FFF, exclude_categories=("Cs", "Co", "Cn"))
LETTERS |= st.characters(max_codepoint=0x7F)
ANY_TEXT = st.lists(LETTERS | st.sampled_from(PARTS), max_size=30).map("".join)
NOTHING = [
    *("", " \t\n", "\ufeff", "&amp;nbsp;", "&amp;amp;#160;", "&NBSP;", "\u200b\u200e", "\u3164", "\u2800"),
    *(
        "\x00\x1b",
        "\u00ad",
        "\u200d\u200c",
        "\ufffc",
        "\U000e0001",
        "\u115f\u1160",
        "&#8203;",
        "\u202b\u202c",
    ),
    "\u034f\ufe0f",
]


@pytest.mark.parametrize("text", NOTHING)
def test_a_text_that_nobody_sees_is_empty(text: str) -> None:
    assert clean_text(text) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the boy goes home", "the\u200b boy\u00a0goes\ufeff home"),
        ("coffee", "cof\u00adfee"),
        ("שלום עולם", "\u202bשלום\u200f \u2067עולם\u2069\u202c"),
        ("مرحبا", "\u061cمرحبا\u200e"),
        ("Müller & Söhne", "Mu\u0308ller &amp;amp; S&ouml;hne"),
        ('tom\'s "house"', "Tom’s “house”"),
        ("i <3 you", "I &amp;lt;3 you"),
        ("ខ្ញុំទៅសាលារៀន", "ខ្ញុំ\u200bទៅ\u200bសាលារៀន"),
        ("我喝牛奶", "\ufeff我喝牛奶\ufe00"),
        ("İSTANBUL", "i\u0307stanbul"),
        ("İstanbul", "istanbul"),
        ("می\u200cخواهم", "می\u200c\u200cخواهم\u200c"),
        ("ＡＢＣ１２", "abc12"),
        ("❤", "❤\ufe0f"),
        ("foobar", "foo\u200dbar"),
        ("foobar", "foo\u200cbar"),
    ],
)
def test_texts_that_look_alike_are_one(one: str, other: str) -> None:
    assert clean_text(one) == clean_text(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("می\u200cخواهم", "میخواهم"),  # Persian: a non-joiner between two parts of a word
        ("क्\u200dष", "क्ष"),  # a half form
        ("क्\u200cष", "क्ष"),  # a visible virama
        ("ന്\u200d", "ന്"),  # a chillu at the end of a word
        ("ශ්\u200dරී", "ශ්රී"),
        ("র\u200d্য", "র্য"),
        ("ه\u200d", "ه"),
        ("ᠮ\u180bᠣ", "ᠮᠣ"),
        ("👩\u200d🚒", "👩🚒"),
    ],
)
def test_joiners_that_a_script_needs_stay(one: str, other: str) -> None:
    assert clean_text(one) != clean_text(other)
    assert clean_text(one) == one
    assert display_text(one) == one


def test_visible_format_characters_stay() -> None:
    assert clean_text("\u06dd١") == "\u06dd١"


def test_what_is_shown_keeps_case_and_quotation_marks() -> None:
    assert display_text("  Tom’s &amp;quot;Haus&amp;quot;\r\n\u200b steht. ") == 'Tom’s "Haus" steht.'
    assert display_text("Ｆoo &lt;b&gt;") == "Ｆoo <b>"
    assert display_text("mÃ¼ller") == "müller"


def test_marks_and_letters_are_composed() -> None:
    assert clean_text("e\u0301") == display_text("e\u0301") == "\u00e9"
    assert clean_text("e\u200b\u0301") == "\u00e9", "what is dropped between them does not part them"


def test_lone_surrogates_are_replaced() -> None:
    assert clean_text("\ud800 boy") == "\ufffd boy"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=ANY_TEXT)
def test_cleaning_twice_or_showing_before_changes_nothing(text: str) -> None:
    clean, shown = clean_text(text), display_text(text)
    assert clean_text(clean) == clean
    assert display_text(shown) == shown
    assert display_text(clean) == clean
    assert clean_text(shown) == clean
    assert unicodedata.is_normalized("NFC", clean)
    assert unicodedata.is_normalized("NFC", shown)
