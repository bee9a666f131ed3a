"""ELAN documents that tests write: media with their origins, and tiers with texts."""

from collections.abc import Sequence
from html import escape


def tier(
    name: str,
    texts: Sequence[tuple[int, int, str]],
    participant: str = "",
    kind: str = "default-lt",
    language: str = "",
) -> dict[str, object]:
    """A tier with texts from and to milliseconds."""
    about = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": kind, "PARTICIPANT": participant, "LANG_REF": language}
    return {"about": {key: value for key, value in about.items() if value}, "texts": list(texts)}


def document(
    tiers: Sequence[dict[str, object]],
    media: Sequence[str | tuple[str, int]] = (),
    units: str = "milliseconds",
) -> str:
    """The XML of a document; media are URLs, or URLs with their TIME_ORIGIN."""
    listed = [(one, 0) if isinstance(one, str) else one for one in media]
    described = "".join(
        f'<MEDIA_DESCRIPTOR MEDIA_URL="{escape(url)}" MIME_TYPE="video/mp4"'
        + (f' TIME_ORIGIN="{origin}"' if origin else "")
        + "/>"
        for url, origin in listed
    )
    slots, body = [], []
    for tier_number, one in enumerate(tiers):
        written = []
        for number, (start, end, text) in enumerate(one["texts"]):  # type: ignore[arg-type, call-overload]
            name = f"{tier_number}-{number}"
            slots += [f'<TIME_SLOT TIME_SLOT_ID="s{name}" TIME_VALUE="{start}"/>']
            slots += [f'<TIME_SLOT TIME_SLOT_ID="e{name}" TIME_VALUE="{end}"/>']
            written.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{name}" TIME_SLOT_REF1="s{name}"'
                f' TIME_SLOT_REF2="e{name}"><ANNOTATION_VALUE>{escape(text)}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        about = " ".join(f'{k}="{escape(v)}"' for k, v in one["about"].items())  # type: ignore[attr-defined]
        body.append(f"<TIER {about}>{''.join(written)}</TIER>")
    return (
        f'<ANNOTATION_DOCUMENT><HEADER MEDIA_FILE="" TIME_UNITS="{units}">{described}</HEADER>'
        f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(body)}</ANNOTATION_DOCUMENT>"
    )
