"""Written languages, as names of files and of tiers tell them: known languages only, as BCP 47 tags."""

import re

import langcodes

# Of the codes with three letters and no shorter form (thousands, many of them words: "new", "raw", "mov"),
# those of languages that subtitles are commonly written in.
LONG_CODES = frozenset((
    "ast", "bho", "ceb", "chr", "ckb", "dsb", "fil", "fur", "gsw", "haw", "hsb", "kab", "kok", "mai",
    "mni", "nds", "nso", "sat", "scn", "sco", "sma", "smn", "syr", "szl", "tzm", "vec", "wuu", "yue",
    "zgh",
))  # fmt: skip
# Names of languages as they begin in English, in the language itself and in German or Dutch.
NAMES: dict[str, tuple[str, ...]] = {
    "ar": ("arab", "العرب"), "cs": ("czech", "češ", "tschech"), "da": ("danish", "dansk", "dänisch"),
    "de": ("german", "deutsch", "duits", "allemand"), "el": ("greek", "ελλην", "griech"),
    "en": ("english", "englisch", "engels", "anglais", "engelsk"),
    "es": ("spanish", "español", "espanol", "spanisch"),
    "et": ("estonian", "eesti"), "eu": ("basque", "euskar"), "fi": ("finnish", "suomi", "suomen", "finnisch"),
    "fr": ("french", "français", "francais", "französ"), "ga": ("irish", "gaeilge"),
    "he": ("hebrew", "עברית"), "hi": ("hindi", "हिन्दी"), "hr": ("croatian", "hrvat"),
    "hu": ("hungarian", "magyar"),
    "is": ("icelandic", "íslensk"), "it": ("italian",), "ja": ("japanese", "japanisch", "日本語"),
    "ko": ("korean", "한국어"), "lt": ("lithuanian", "lietuv"), "lv": ("latvian", "latviešu"),
    "mt": ("maltese",), "nl": ("dutch", "nederland", "niederländ"), "no": ("norwegian", "norsk", "norweg"),
    "pl": ("polish", "polsk", "polnisch"), "pt": ("portugu", "português"), "ro": ("romanian", "român"),
    "ru": ("russian", "русск", "russisch"), "sk": ("slovak", "slovensk"),
    "sl": ("slovene", "slovenian", "slovenšč"),
    "sr": ("serbian", "srpsk"), "sv": ("swedish", "svensk", "schwedisch"), "th": ("thai", "ไทย"),
    "tr": ("turkish", "türk"), "uk": ("ukrainian", "україн"), "vi": ("vietnamese",),
    "zh": ("chinese", "mandarin", "chinesisch", "中文", "汉语"),
}  # fmt: skip


def language_of(tag: str) -> str | None:
    """The standard form of a language tag; None for what is no known language.

    What follows the language is kept where it is a valid script or region, else left out.

    >>> [language_of(tag) for tag in ("EN", "ger", "pt_BR", "zh-Hans", "en-orig", "sdh", "mov", "v2")]
    ['en', 'de', 'pt-BR', 'zh-Hans', 'en', None, None, None]
    """
    plain = tag.strip().replace("_", "-")
    primary = plain.partition("-")[0]
    if not re.fullmatch(r"[A-Za-z]{2,3}", primary):
        return None
    try:
        if not langcodes.tag_is_valid(primary):
            return None
        language = langcodes.standardize_tag(primary)
        if len(language) > 2 and language not in LONG_CODES:
            return None
        return langcodes.standardize_tag(plain) if langcodes.tag_is_valid(plain) else language
    except ValueError:
        return None


def language_named(words: str) -> str | None:
    """The language that a name holds as a word; None where it holds none, or two.

    >>> language_named("Translation_into_English_A"), language_named("Deutsche_Übersetzung_B")
    ('en', 'de')
    """
    parts = [part for part in re.split(r"[\W\d_]+", words.lower()) if part]
    found = {
        language
        for language, names in NAMES.items()
        if any(part.startswith(name) for part in parts for name in names)
    }
    return found.pop() if len(found) == 1 else None
