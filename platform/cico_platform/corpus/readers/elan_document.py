"""An ELAN document as typed records: its media files, its tiers, and the times of their annotations."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.etree import ElementTree

from cico_platform.corpus.readers.rows import read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place

LARGEST_FILE = 256 << 20
# Milliseconds of a unit of time, by the header's `TIME_UNITS`.
TIME_UNITS = {"milliseconds": 1.0, "PAL-frames": 40.0, "NTSC-frames": 1001 / 30}


@dataclass(frozen=True)
class Media:
    """A video that a document names: its address, and the seconds to add to the document's times."""

    url: str
    origin: float

    @property
    def name(self) -> str:
        """The file's name."""
        return re.split(r"[/\\]", self.url)[-1]


@dataclass(frozen=True)
class Annotation:
    """A text and its times in seconds on the document's clock; None where the document gives none."""

    name: str
    text: str
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Tier:
    """A tier with its annotations; `language` is the id of the document's language, where one is named."""

    name: str
    kind: str
    participant: str | None
    language: str | None
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class Document:
    """The contents of an ELAN file."""

    media: tuple[Media, ...]
    tiers: tuple[Tier, ...]


def parse_document(path: Place) -> Document:
    """Read an ELAN file.

    Raises
    ------
    InputError
        If it is not XML or no ELAN document, declares entities, or counts time in an unknown unit.
    """
    root = _parse(path)
    header = root.find("HEADER")
    unit = (header.get("TIME_UNITS") if header is not None else None) or "milliseconds"
    if unit not in TIME_UNITS:
        raise InputError(f"the file's times are in '{unit}', not in milliseconds")
    times = _Times(root, TIME_UNITS[unit] / 1000)
    subdivided = {
        kind.get("LINGUISTIC_TYPE_ID")
        for kind in root.iter("LINGUISTIC_TYPE")
        if (kind.get("CONSTRAINTS") or "").lower() == "symbolic_subdivision"
    }
    tiers = tuple(_tier(tier, times, subdivided) for tier in root.iter("TIER"))
    return Document(tuple(_media(root)), tiers)


def _parse(path: Place) -> ElementTree.Element:
    data = read_bytes(path, LARGEST_FILE)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError("the file declares entities or is not UTF-8; ELAN files never do")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - without declarations no entity can grow
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"the file is not XML: {error}") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError("the file is not an ELAN document")
    return root


def _media(root: ElementTree.Element) -> Iterable[Media]:
    for media in root.iter("MEDIA_DESCRIPTOR"):
        url = unquote(media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or "")
        if url and not (media.get("MIME_TYPE") or "").startswith("audio"):
            origin = media.get("TIME_ORIGIN") or "0"
            if not re.fullmatch(r"-?\d{1,12}", origin):
                raise InputError(f"the TIME_ORIGIN '{origin[:40]}' of '{url}' is no number of milliseconds")
            yield Media(url, int(origin) / 1000)


@dataclass
class _Times:
    """The times of all annotations, those of annotations that refer to others included."""

    root: ElementTree.Element
    unit: float
    spans: dict[str | None, tuple[float | None, float | None]] = field(default_factory=dict)
    parents: dict[str | None, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        slots = {
            slot.get("TIME_SLOT_ID"): _number(slot.get("TIME_VALUE"), self.unit)
            for slot in self.root.iter("TIME_SLOT")
        }
        for one in self.root.iter("ALIGNABLE_ANNOTATION"):
            start, end = slots.get(one.get("TIME_SLOT_REF1")), slots.get(one.get("TIME_SLOT_REF2"))
            self.spans[one.get("ANNOTATION_ID")] = (start, end)
        for one in self.root.iter("REF_ANNOTATION"):
            self.parents[one.get("ANNOTATION_ID")] = one.get("ANNOTATION_REF")

    def owner(self, name: str | None) -> str | None:
        """The annotation with times that one refers to, over any number of others."""
        seen = set()
        while name in self.parents and name not in seen:
            seen.add(name)
            name = self.parents[name]
        return name


def _number(value: str | None, unit: float) -> float | None:
    return int(value) * unit if value and re.fullmatch(r"\d{1,12}", value) else None


def _tier(tier: ElementTree.Element, times: _Times, subdivided: set[str | None]) -> Tier:
    found: dict[str, Annotation] = {}
    for element in (annotation[0] for annotation in tier.iter("ANNOTATION") if len(annotation)):
        name = element.get("ANNOTATION_ID") or str(len(found))
        owner = times.owner(element.get("ANNOTATION_ID"))
        start, end = times.spans.get(owner, (None, None))
        text = element.findtext("ANNOTATION_VALUE") or ""
        # The pieces of a subdivided annotation have no times of their own: they are one text.
        key = f"\0{owner}" if tier.get("LINGUISTIC_TYPE_REF") in subdivided else name
        before = found.get(key)
        if before is not None:
            text = f"{before.text} {text}".strip()
        found[key] = Annotation(before.name if before else name, text, start, end)
    return Tier(
        tier.get("TIER_ID") or "",
        tier.get("LINGUISTIC_TYPE_REF") or "",
        (tier.get("PARTICIPANT") or "").strip() or None,
        tier.get("LANG_REF"),
        tuple(found.values()),
    )
