"""Encodings that files are really in: told by their marks, or guessed, by the language where it is known."""

import pytest

from cico_platform.corpus.readers.encodings import decode

SENTENCES = {
    "de": ("cp1252", "Guten Tag, Frau Müller. Das Wetter ist heute schön, sagt der Bär."),
    "cs": ("cp1250", "Dobrý den, jak se máte? Přišel jsem včera večer, žluťoučký kůň."),
    "ru": ("cp1251", "Привет, как дела? Завтра будет хорошая погода, я иду домой."),
    "uk": ("koi8-r", "Привет, как дела? Завтра будет хорошая погода, я иду домой."),
    "el": ("cp1253", "Καλημέρα, τι κάνεις; Πάω στο σχολείο."),
    "tr": ("cp1254", "Günaydın, nasılsınız? Bugün hava çok güzel, okula gidiyoruz."),
    "he": ("cp1255", "שלום, מה שלומך? אני הולך לבית הספר."),
    "ar": ("cp1256", "مرحبا كيف حالك؟ أنا ذاهب إلى المدرسة."),
    "th": ("cp874", "สวัสดีครับ วันนี้อากาศดี เราไปโรงเรียนกัน"),
    "ja": ("cp932", "こんにちは、お元気ですか。今日は学校に行きます。"),
    "zh": ("gb18030", "你好，今天天气很好。我们去学校吧。"),
    "zh-TW": ("big5", "你好，今天天氣很好。我們去學校吧，老師在等我們。"),
    "ko": ("cp949", "안녕하세요, 오늘 날씨가 좋네요. 학교에 갑시다."),
}


@pytest.mark.parametrize("language", SENTENCES)
def test_the_language_tells_the_encoding(language: str) -> None:
    encoding, sentence = SENTENCES[language]
    text = f"1\n00:00:01,000 --> 00:00:02,000\n{sentence}\n"
    found = decode(text.encode(encoding), language)
    assert found.text == text
    assert found.guessed


@pytest.mark.parametrize("language", ["cs", "ru", "el", "ar", "th", "ja", "zh", "ko"])
def test_most_are_guessed_without_it(language: str) -> None:
    encoding, sentence = SENTENCES[language]
    found = decode(f"1\n00:00:01,000 --> 00:00:02,000\n{sentence}\n".encode(encoding))
    assert sentence in found.text
    assert found.guessed


def test_utf8_is_no_guess_even_if_a_language_says_otherwise() -> None:
    assert decode("Größe".encode(), "ru") == ("Größe", None)
    assert decode(b"") == ("", None)
    assert decode(b"plain") == ("plain", None)


def test_bytes_of_no_encoding_are_text_all_the_same() -> None:
    found = decode(bytes(range(256)))
    assert isinstance(found.text, str)
    assert found.guessed


def test_seven_bits_of_japanese_are_seen() -> None:
    assert decode("日本".encode("iso2022_jp")) == ("日本", "iso-2022-jp")
