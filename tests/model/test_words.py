"""Words are whole in every script, and lie where the text holds them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cico_model.text import clean_text
from cico_model.words import find_words, has_word, mark_breaks

SENTENCES = {
    "Hindi": ("नमस्ते दुनिया, मैं ठीक हूँ।", ["नमस्ते", "दुनिया", "मैं", "ठीक", "हूँ"]),
    "Tamil": ("வணக்கம் உலகம்", ["வணக்கம்", "உலகம்"]),
    "Bengali": ("আমি স্কুলে যাই।", ["আমি", "স্কুলে", "যাই"]),
    "Malayalam": ("ഞാൻ വീട്ടിലേക്ക് പോകുന്നു", ["ഞാൻ", "വീട്ടിലേക്ക്", "പോകുന്നു"]),
    "Sinhala": ("ශ්\u200dරී ලංකාව", ["ශ්\u200dරී", "ලංකාව"]),
    "Thai": ("ฉันไปโรงเรียน", ["ฉัน", "ไป", "โรงเรียน"]),
    "Lao": ("ສະບາຍດີ ໂລກ", ["ສະບາຍດີ", "ໂລກ"]),
    "Khmer": ("ខ្ញុំទៅសាលារៀន", ["ខ្ញុំ", "ទៅ", "សាលារៀន"]),
    "Burmese": ("ကျောင်းသွားတယ်", ["ကျောင်း", "သွား", "တယ်"]),
    "Arabic": ("السَّلَامُ عَلَيْكُمْ!", ["السَّلَامُ", "عَلَيْكُمْ"]),
    "Hebrew": ("שָׁלוֹם, עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
    "Persian": ("می\u200cخواهم بروم", ["می\u200cخواهم", "بروم"]),
    "Turkish": ("İSTANBUL’A GİT", ["istanbul'a", "git"]),
    "Chinese": ("我喝牛奶，谢谢。", ["我", "喝", "牛奶", "谢谢"]),
    "Japanese": ("今日は学校に行きます。", ["今日", "は", "学校", "に", "行き", "ます"]),
    "Korean": ("안녕하세요 세계", ["안녕하세요", "세계"]),
    "Vietnamese": ("Tôi đi ho\u0323c", ["tôi", "đi", "học"]),
    "German": (
        "Der Bär-Verein kostet 3,5 Euro_netto?",
        ["der", "bär-verein", "kostet", "3,5", "euro", "netto"],
    ),
    "French": ("Aujourd’hui l’eau", ["aujourd'hui", "l'eau"]),
    "English": ("Don't 'quote' a-well- known  x—y 👍", ["don't", "quote", "a-well", "known", "x", "y"]),
    "letters beyond the first plane": ("𐐷𐐲𐑌 😀 𐐷", ["𐐷𐐲𐑌", "𐐷"]),
}


@pytest.mark.parametrize("language", SENTENCES)
def test_words_are_whole(language: str) -> None:
    text, words = SENTENCES[language]
    assert [word for word, _, _ in find_words(clean_text(text))] == words


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters() | st.sampled_from("-_'’ 我กา"), max_size=30))
def test_words_lie_where_the_text_holds_them_in_order(text: str) -> None:
    reached = 0
    for word, start, end in find_words(text):
        assert text[start:end] == word
        assert reached <= start < end
        assert has_word(word)
        reached = end


def test_a_text_of_signs_alone_has_no_word() -> None:
    assert not has_word("?! – 👍 ")
    assert not has_word(clean_text("\u3164"))
    assert has_word("٣")
    assert has_word("ก")


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("我喝牛奶ฉันไปโรงเรียน ab-c。1"), max_size=20))
def test_breaks_lie_between_words_and_nowhere_else(text: str) -> None:
    marked, marks = mark_breaks(text, "|")
    assert marked.replace("|", "") == text
    assert [i for i, letter in enumerate(marked) if letter == "|"] == marks
    starts = {start for _, start, _ in find_words(text)}
    assert {mark - number for number, mark in enumerate(marks)} <= starts
