"""ELAN (`.eaf`): one clip an annotation of the tiers that hold sentences."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote
from xml.etree import ElementTree

from cico_platform.corpus.readers.rows import BadRow, Rows, find_first, read_bytes
from cico_platform.errors import InputError
from cico_platform.storage import Place, relative

NAME = "elan"
# Tiers of these names hold sentences; where no tier has such a name, all are read.
SENTENCE_TIER = re.compile(r"transl|sentence|text|caption|free|übersetzung|satz", re.IGNORECASE)


def sniff(source: Place) -> bool:
    """Whether the source is an ELAN file, or a folder that holds one."""
    return bool(elan_files(source))


def elan_files(source: Place) -> list[Place]:
    """The ELAN files under a folder, or the file itself."""
    if source.is_file():
        return [source] if source.suffix.lower() == ".eaf" else []
    return sorted((path for path in source.rglob("*.eaf") if path.is_file()), key=str)


def read(source: Place, videos: Place | None = None) -> Rows:
    """One row an annotation; a tier's participant is the signer.

    Raises
    ------
    InputError
        If there is no ELAN file, one is not XML, or it declares entities.
    """
    base = source if source.is_dir() else source.parent
    files = elan_files(source)
    if not files:
        raise InputError(f"'{source}' holds no ELAN file (.eaf)")
    rows = Rows()
    for path in files:
        _annotations(rows, path, _parse(path), base, videos or base)
    if not rows.good and not rows.bad:
        raise InputError(f"'{source}' holds no annotation")
    return rows


def _parse(path: Place) -> ElementTree.Element:
    data = read_bytes(path, 256 << 20)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"'{path}' declares entities or is not UTF-8; ELAN files never do")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - without declarations no entity can grow
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"'{path}' is not XML: {error}") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(f"'{path}' is not an ELAN file")
    return root


def _annotations(rows: Rows, path: Place, root: ElementTree.Element, base: Place, videos: Place) -> None:
    slots = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
    file = _video(path, root, base, videos)
    spans = {
        a.get("ANNOTATION_ID"): (slots.get(a.get("TIME_SLOT_REF1")), slots.get(a.get("TIME_SLOT_REF2")))
        for a in root.iter("ALIGNABLE_ANNOTATION")
    }
    parents = {a.get("ANNOTATION_ID"): a.get("ANNOTATION_REF") for a in root.iter("REF_ANNOTATION")}
    tiers = [tier for tier in root.iter("TIER") if tier.find("ANNOTATION") is not None]
    chosen = [t for t in tiers if SENTENCE_TIER.search(f"{t.get('TIER_ID')} {t.get('LINGUISTIC_TYPE_REF')}")]
    number = 0
    for tier in chosen or tiers:
        for annotation in (a[0] for a in tier.iter("ANNOTATION") if len(a)):
            number += 1
            name = annotation.get("ANNOTATION_ID")
            where = f"{path.name}[{tier.get('TIER_ID')}/{name}]"
            text = annotation.findtext("ANNOTATION_VALUE") or ""
            for _ in range(len(parents)):
                name = parents.get(name, name)
            start, end = spans.get(name, (None, None))
            if start is None or end is None:
                rows.bad.append(BadRow(where, file, "the annotation has no times"))
                continue
            rows.add(
                where,
                file,
                text,
                video_id=f"{Path(file).stem}-{number:04d}",
                start=_seconds(start),
                end=_seconds(end),
                signer=tier.get("PARTICIPANT"),
                language=tier.get("LANG_REF"),
            )


def _seconds(milliseconds: str) -> str:
    return f"{int(milliseconds) / 1000:.3f}" if re.fullmatch(r"\d{1,12}", milliseconds) else milliseconds


def _video(path: Place, root: ElementTree.Element, base: Place, videos: Place) -> str:
    """The video beside the file: of its own name, else of the name that its media descriptor gives."""
    stem = PurePosixPath(relative(path, base)).with_suffix("")
    names = [str(stem)]
    for media in root.iter("MEDIA_DESCRIPTOR"):
        url = unquote(media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or "")
        if url and not (media.get("MIME_TYPE") or "").startswith("audio"):
            name = re.split(r"[/\\]", url)[-1]
            names += [str(stem.with_name(name)), name] if name else []
    return find_first(videos, names) or f"{stem}.mp4"
