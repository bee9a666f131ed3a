"""The character encoding of a text file: told by a mark, UTF-8, or guessed and said so."""

import codecs
import re
from typing import NamedTuple

from charset_normalizer import from_bytes

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The encodings of Windows and older systems that files in a language are mostly in, the likeliest first.
CYRILLIC, CENTRAL, ARABIC, WESTERN, BALTIC = (
    ("cp1251", "koi8-r"),
    ("cp1250",),
    ("cp1256",),
    ("cp1252",),
    ("cp1257",),
)
BY_LANGUAGE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "sr"), CYRILLIC),
    **dict.fromkeys(("cs", "sk", "pl", "hu", "sl", "hr", "ro", "bs", "sq"), CENTRAL),
    **dict.fromkeys(("ar", "fa", "ur"), ARABIC),
    **dict.fromkeys(
        ("de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "nb", "fi", "is", "en", "ca"), WESTERN
    ),
    **dict.fromkeys(("lt", "lv", "et"), BALTIC),
    "el": ("cp1253",),
    "tr": ("cp1254",),
    "az": ("cp1254",),
    "he": ("cp1255",),
    "vi": ("cp1258",),
    "th": ("cp874",),
    "ja": ("cp932", "euc_jp"),
    "ko": ("cp949",),
    "zh": ("gb18030", "big5"),
}
# Bytes of a file that a guess looks at.
SAMPLE = 1 << 18


class Decoded(NamedTuple):
    """A text; `guessed` names its encoding where neither a mark nor UTF-8 tells it."""

    text: str
    guessed: str | None = None


def decode(data: bytes, language: str | None = None) -> Decoded:
    """Decode a text file.

    Parameters
    ----------
    data
        Its bytes.
    language
        The language that it is said to be in, if it is known; the guess prefers that language's encodings.

    Returns
    -------
    Decoded
        Text that is UTF-8 but for a few bytes is taken as UTF-8, these bytes becoming lone surrogates.
    """
    for mark, name in MARKS:
        if data.startswith(mark):
            return Decoded(data[len(mark) :].decode(name, "replace"))
    if wide := _unmarked_utf16(data):
        return Decoded(data.decode(wide, "replace"), wide)
    if b"\x1b$" in data and _decodes(data, "iso2022_jp"):
        return Decoded(data.decode("iso2022_jp"), "iso-2022-jp")
    text = data.decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= letter <= "\udcff" for letter in text)
    if not bad:
        return Decoded(text)
    if bad < sum(letter > "\x7f" for letter in text) - bad:
        return Decoded(text)  # UTF-8 with broken parts; the rows that hold them are refused
    name = _guess(data, language)
    return Decoded(data.decode(name, "replace"), name)


def _unmarked_utf16(data: bytes) -> str | None:
    """Whether every other byte is (mostly) zero, as in UTF-16 of digits, spaces and Latin letters."""
    even, odd = data[:SAMPLE:2], data[1:SAMPLE:2]
    if len(odd) < 8 or b"\0" not in data[:SAMPLE]:
        return None
    share = even.count(0) / len(even), odd.count(0) / len(odd)
    if max(share) < 0.2 or min(share) > max(share) / 4:
        return None
    return "utf-16-be" if share[0] > share[1] else "utf-16-le"


def _guess(data: bytes, language: str | None) -> str:
    """The likeliest encoding of bytes that are not UTF-8."""
    base = re.split(r"[-_]", (language or "").lower())[0]
    known = [name for name in BY_LANGUAGE.get(base, ()) if _decodes(data, name)]
    if len(known) == 1:
        return known[0]
    found = from_bytes(data[:SAMPLE], cp_isolation=known or None).best()
    if found is not None and found.encoding not in ("ascii", "utf_8") and _decodes(data, found.encoding):
        return found.encoding.replace("_", "-")
    return known[0] if known else "cp1252" if _decodes(data, "cp1252") else "latin-1"


def _decodes(data: bytes, name: str) -> bool:
    """Whether all bytes are characters of an encoding, none of them a control."""
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        return False
    return not re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]", text)
