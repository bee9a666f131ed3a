"""ELAN (`.eaf`): one clip an annotation of the tiers that hold sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cico_platform.corpus.language_tags import language_named, language_of
from cico_platform.corpus.media_files import files_with_suffix
from cico_platform.corpus.media_folder import MediaFolder
from cico_platform.corpus.readers.elan_document import Annotation, Document, Media, Tier, parse_document
from cico_platform.corpus.readers.elan_media import participants_of, people, views_of
from cico_platform.corpus.readers.elan_tiers import sentence_tiers
from cico_platform.corpus.readers.rows import Rows
from cico_platform.errors import InputError
from cico_platform.storage import Place, relative

NAME = "elan"
SUFFIX = ".eaf"


@dataclass(frozen=True)
class Choice:
    """The options `--tier` and `--media`: names or patterns; empty ones leave the choice to the reader."""

    tiers: Sequence[str] = ()
    media: Sequence[str] = ()


def sniff(source: Place) -> bool:
    """Whether the source is an ELAN file, or a folder that holds one."""
    if source.is_file():
        return source.suffix.lower() == SUFFIX
    return source.is_dir() and any(True for _ in files_with_suffix(source, (SUFFIX,)))


def read(source: Place, videos: Place | None = None, choice: Choice | None = None) -> Rows:
    """One row an annotation; a tier's participant is the signer.

    A file that cannot be read is one bad row.

    Raises
    ------
    InputError
        If there is no ELAN file, or none holds an annotation.
    """
    base = source if source.is_dir() else source.parent
    files = [source] if source.is_file() else list(files_with_suffix(source, (SUFFIX,)))
    if not files or not sniff(source):
        raise InputError(f"'{source}' holds no ELAN file ({SUFFIX})")
    rows, media = Rows(), MediaFolder(videos or base)
    for path in files:
        rows.read_from(path)
        try:
            document = parse_document(path)
        except InputError as error:
            rows.refuse(relative(path, base), "", str(error))
            continue
        _Reading(rows, relative(path, base), document, media, choice or Choice()).read()
    if not len(rows):
        raise InputError(f"'{source}' holds no annotation")
    return rows


@dataclass
class _Reading:
    """The reading of one document into rows; `name` is its path relative to the source."""

    rows: Rows
    name: str
    document: Document
    media: MediaFolder
    choice: Choice
    count: int = 0

    def read(self) -> None:
        tiers = [tier for tier in self.document.tiers if tier.annotations]
        chosen, note = sentence_tiers(tiers, self.choice.tiers)
        if not chosen:
            if tiers:
                self.rows.refuse(self.name, "", note or "no tier was chosen")
            return
        if note:
            self.rows.notes[f"ELAN: {note}"] += sum(len(tier.annotations) for tier in chosen)
        for tier in chosen:
            self._tier(tier, chosen)

    def _tier(self, tier: Tier, chosen: Sequence[Tier]) -> None:
        self.rows.tiers[tier.name] += len(tier.annotations)
        reason = ""
        try:
            file, origin, alone = self._video(tier, chosen)
        except InputError as error:
            file, origin, alone, reason = "", 0.0, False, str(error)
        everybody = participants_of(self.document.tiers)
        shown = tuple(people(tier.participant)) if alone and tier.participant else everybody
        language = self._language(tier)
        for annotation in tier.annotations:
            self.count += 1
            where = f"{PurePosixPath(self.name).name}[{tier.name}/{annotation.name}]"
            if reason or annotation.start is None or annotation.end is None:
                self.rows.refuse(where, file, reason or "the annotation has no times")
                continue
            self.rows.add(
                where,
                file,
                annotation.text,
                video_id=f"{Path(file).stem}-{self.count:04d}",
                signer=tier.participant,
                participants=shown,
                language=language,
                **_times(annotation, origin),
            )

    def _video(self, tier: Tier, chosen: Sequence[Tier]) -> tuple[str, float, bool]:
        """The video of a tier, the seconds to add to its times, and whether it shows the signer alone."""
        views = views_of(tier, chosen, self.document, self.choice.media)
        for view in views:
            found = self._find(view.media)
            if found is not None:
                return found, view.media.origin, view.alone
        stem = str(PurePosixPath(self.name).with_suffix(""))
        named = self.document.media
        if len(named) > 1 or self.choice.media:
            missing = views[0].media.name if views else ", ".join(self.choice.media)
            raise InputError(f"the video '{missing}' does not exist")
        # A document with one video, which was renamed to the document's name.
        bare = PurePosixPath(stem).name
        found = self.media.first((stem, bare)) or self.media.anywhere(bare)
        return found or f"{stem}.mp4", named[0].origin if named else 0.0, False

    def _find(self, media: Media) -> str | None:
        """A media file: where its address says, beside the document, at the folder's top, or below it."""
        folder = PurePosixPath(self.name).parent
        name, stem = media.name, PurePosixPath(media.name).stem
        said = media.url.replace("\\", "/") if "://" not in media.url and ":" not in media.url[:3] else name
        places = (str(folder / said), str(folder / name), name, str(folder / stem), stem)
        return self.media.first(places) or self.media.anywhere(name) or self.media.anywhere(stem)

    def _language(self, tier: Tier) -> str | None:
        """The language of a tier's texts: as the document says, else as the tier's name does."""
        return (language_of(tier.language or "")) or language_named(tier.name)


def _times(annotation: Annotation, origin: float) -> dict[str, float]:
    assert annotation.start is not None
    assert annotation.end is not None
    return {"start": round(annotation.start + origin, 6), "end": round(annotation.end + origin, 6)}
