"""Match the participants of an ELAN document to its videos."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cico_platform.corpus.readers.elan_document import Document, Media, Tier
from cico_platform.corpus.readers.elan_tiers import matches
from cico_platform.errors import InputError

# Parts of file names that tell views of one person apart: those of the body come first, close-ups last.
BODY_VIEWS = frozenset(("b", "body", "front", "frontal", "main"))
CLOSE_VIEWS = frozenset(("f", "face", "t", "top"))
SEPARATORS = r"[\s_\-.@]+"


@dataclass(frozen=True)
class View:
    """A video that a tier's signer is in, and whether it shows that person alone."""

    media: Media
    alone: bool


def participants_of(tiers: Iterable[Tier]) -> tuple[str, ...]:
    """All people whom a document names, each once."""
    return tuple(dict.fromkeys(name for tier in tiers for name in people(tier.participant)))


def people(participant: str | None) -> list[str]:
    """The people that a tier's participant names: one, or several between commas or slashes."""
    return [name.strip() for name in re.split(r"[,;/&+]", participant or "") if name.strip()]


def views_of(tier: Tier, chosen: Sequence[Tier], document: Document, wanted: Sequence[str]) -> list[View]:
    """The videos that show a tier's signer, the best first; empty if the document names no video.

    A document with one video shows everybody in it. With several, a signer's own videos are those whose names
    hold the participant's name, or the last part of the tier's name (`…_A` and `…_1a1.mp4`); after them comes
    the one video, if there is one, that is nobody's own. A document with one signer shows her in all of them.

    Parameters
    ----------
    tier
        One of the chosen tiers.
    chosen
        The tiers that hold sentences.
    wanted
        Names or patterns of files to choose from; `SIGNER=PATTERN` holds for one signer: the participant's
        name, or the last part of the tier's name.

    Raises
    ------
    InputError
        If there are several videos and several signers, and nothing tells which video shows this one.
    """
    mine = [w.partition("=")[2] for w in wanted if "=" in w and w.partition("=")[0].casefold() in _keys(tier)]
    if mine:
        return [View(one, True) for one in _matching(document.media, mine)]
    general = [w for w in wanted if "=" not in w]
    media = _matching(document.media, general) if general else list(document.media)
    if len(document.media) <= 1:
        return [View(one, False) for one in media]
    own = [one for one in _own_videos(document.media, tier) if one in media]
    others = [other for other in document.tiers if _signer(other) != _signer(tier)]
    claimed = {one for other in others for one in _own_videos(document.media, other)}
    shared = [one for one in media if one not in claimed and one not in own]
    signers = {tier.participant for tier in document.tiers if tier.annotations and tier.participant}
    signers |= {_signer(tier) for tier in chosen} - {""}
    if own:
        return [View(one, True) for one in _ranked(own)] + [View(one, False) for one in shared[:1] if claimed]
    if not media or len(signers) <= 1 or (len(shared) == 1 and (claimed or general)):
        return [View(one, False) for one in _ranked(shared)]
    names = ", ".join(one.name for one in media)
    raise InputError(f"which of the videos {names} shows '{_signer(tier)}' is not told; choose with --media")


def _matching(media: Sequence[Media], patterns: Sequence[str]) -> list[Media]:
    return [one for one in media if any(matches(one.name, pattern) for pattern in patterns)]


def _signer(tier: Tier) -> str:
    """Return the signer of a tier: its participant, or else the letter at the end of its name."""
    last = _last_part(tier)
    return tier.participant or (last if re.fullmatch(r"[a-z]|[a-z]\d{1,3}", last) else "")


def _last_part(tier: Tier) -> str:
    parts = re.split(SEPARATORS, tier.name.strip())
    return parts[-1].casefold() if len(parts) > 1 else ""


def _keys(tier: Tier) -> list[str]:
    """Return the words that a signer's video may have in its name: the participant, the tier's last part."""
    last = _last_part(tier)
    return [name.casefold() for name in people(tier.participant)] + ([last] if last else [])


def _own_videos(media: Sequence[Media], tier: Tier) -> list[Media]:
    """The videos whose names hold the signer, where not all of them do."""
    for key in _keys(tier):
        for holding in (_whole(media, key), _in_difference(media, key)):
            if 0 < len(holding) < len(media):
                return holding
    return []


def _whole(media: Sequence[Media], key: str) -> list[Media]:
    """The videos whose names hold the key between signs; leading zeros of numbers do not matter."""
    pattern = re.compile(rf"(?<![^\W_]){re.escape(_plain(key))}(?![^\W_])")
    return [one for one in media if pattern.search(_plain(_stem(one)))]


def _in_difference(media: Sequence[Media], key: str) -> list[Media]:
    """The videos with the key in what their names differ in: "a" is in `…_1a1`, beside `…_1b1` and `…_1c`."""
    if len(key) > 1:
        return []
    split = [re.findall(r"[^\W\d_]+|\d+", _stem(one)) for one in media]
    common = 0
    while all(len(parts) > common for parts in split) and len({parts[common] for parts in split}) == 1:
        common += 1
    return [one for one, parts in zip(media, split, strict=True) if key in parts[common:]]


def _plain(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name)


def _stem(media: Media) -> str:
    return re.sub(r"\.[^.]*$", "", media.name).casefold()


def _ranked(media: Sequence[Media]) -> list[Media]:
    """Several views of one person: of the body first, close-ups last."""

    def rank(one: Media) -> int:
        parts = set(re.split(SEPARATORS, _stem(one)))
        return 0 if parts & BODY_VIEWS else 2 if parts & CLOSE_VIEWS else 1

    return sorted(media, key=rank)
