"""The corpus of a reproduction: the splits as they were read, with texts and sentences as in the paper."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cico_model.text_cleaning import clean_text, display_text
from cico_platform.corpus.clip_keys import FileFacts, key_columns
from cico_platform.corpus.manifest import INFO_FILE as CORPUS_INFO_FILE
from cico_platform.corpus.manifest import MANIFEST_FILE, Clip, Corpus, write_manifest
from cico_platform.corpus.manifest_rows import known_facts
from cico_platform.corpus.text import text_id_of
from cico_platform.errors import InputError
from cico_platform.reproduce.pickles import PickledSentence, read_pickles
from cico_platform.reproduce.recipes import Recipe, Texts
from cico_platform.reproduce.sources import Sources
from cico_platform.steps import Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import Place

STAGE = "reproduce-corpus"
NO_TRANSLATION = "CiCo's pickles have no translation of it"
NO_BOX = "it has no published box of the signer: the paper left it out"
NO_SPLIT = "the corpus puts it into no split"
IN_TRAINING = "it is a training sentence, too"


@dataclass(frozen=True)
class Choices:
    """What decides the corpus beside its parts.

    Attributes
    ----------
    texts
        Translated or original ones.
    validation_share
        Part of the training texts for validation, where the parts have no validation sentence.
    seed
        Of that choice.
    """

    texts: Texts
    validation_share: float
    seed: int


def build_corpus(
    recipe: Recipe, sources: Sources, parts: Mapping[str, Place], out: Place, choices: Choices
) -> Summary:
    """Join the corpora that were read from the tables into the one that the paper is about.

    Validation and test follow the published protocol: the clips of a sentence share a text, equal texts of
    two sentences are two texts. In training, equal texts are one, so that none is another's wrong answer.
    Clips that the paper left out go into quarantine.

    Parameters
    ----------
    parts
        The corpus of each table, by the table's name.

    Returns
    -------
    Summary
        Details: `splits` (`{"texts", "videos"}` of each), `reasons`, `held_out` (whether the validation
        split was made of training texts).

    Raises
    ------
    InputError
        If a clip is in training and in test, or no clip is left in one of them.
    """
    key = content_key(
        step=STAGE,
        recipe=recipe.name,
        parts={name: fingerprint(part / MANIFEST_FILE) for name, part in parts.items()},
        pickles=[fingerprint(path) for path in sources.pickles],
        unassigned=[table.unassigned for table in sources.tables],
        choices=vars(choices),
    )
    return run_step(out, STAGE, key, lambda folder: _Join(recipe, sources, parts, choices).run(folder))


class _Join:
    """One run: what is left out, and the clips with their texts and splits."""

    def __init__(
        self, recipe: Recipe, sources: Sources, parts: Mapping[str, Place], choices: Choices
    ) -> None:
        self.recipe, self.parts, self.choices = recipe, parts, choices
        self.sentences: Mapping[str, PickledSentence] = read_pickles(sources.pickles)
        self.tables = {table.name: table for table in sources.tables}
        self.left_out: list[dict[str, str]] = []

    def run(self, folder: Place) -> Summary:
        """Write the corpus."""
        clips = self._without_repeats([clip for name in self.parts for clip in self._clips(name)])
        held_out = not any(clip.split == "validation" for clip in clips)
        if held_out:
            clips = hold_out(clips, self.choices.validation_share, self.choices.seed)
        clips = [self._with_text_id(clip) for clip in clips]
        for split in ("train", "validation", "test"):
            if not any(clip.split == split for clip in clips):
                raise InputError(f"no clip of {self.recipe.title} is left in the {split} split{self._why()}")
        write_manifest(folder, clips, key_columns(clips, self._facts(clips)))
        refused = [row for part in self.parts.values() for row in Corpus(part).quarantined("read")]
        corpus = Corpus(folder)
        corpus.quarantine("read", refused)
        corpus.quarantine(STAGE, self.left_out)
        reasons = Counter(str(row["reason"]) for row in [*refused, *self.left_out])
        details = {"splits": sizes_of(clips), "reasons": dict(reasons.most_common(10)), "held_out": held_out}
        about = {"name": self.recipe.title, "format": self.recipe.format, "licence": None, "trim": False}
        write_json(folder / CORPUS_INFO_FILE, {**about, **details})
        return Summary(len(clips), 0, len(refused) + len(self.left_out), 0.0, details)

    def _facts(self, clips: Sequence[Clip]) -> list[FileFacts | None]:
        """What the parts know of each clip's file: no file is read again."""
        known: dict[str, FileFacts | None] = {}
        for part in self.parts.values():
            known.update(known_facts(part))
        return [known.get(clip.path) for clip in clips]

    def _clips(self, name: str) -> Iterator[Clip]:
        """The clips of a part that the paper has, with their texts."""
        table = self.tables[name]
        unassigned = set(table.unassigned)
        for clip in Corpus(self.parts[name]).clips():
            reason = ""
            if clip.video_id in unassigned:
                reason = NO_SPLIT
            elif table.boxed and clip.crop is None:
                reason = NO_BOX
            found = self._with_text(clip)
            if found is None:
                reason = reason or NO_TRANSLATION
            if reason:
                self._leave_out(clip, reason)
            elif found is not None:
                yield found

    def _with_text(self, clip: Clip) -> Clip | None:
        """The clip with the chosen text; None where there is none."""
        said = self.sentences.get(clip.video_id)
        if self.recipe.texts == "original":
            return clip
        if self.choices.texts == "original":
            if said is None or not said.original:
                return clip
            text, language = said.original, self.recipe.language
        elif said is None:
            return None
        else:
            text, language = said.text, "en"
        cleaned = clean_text(text)
        if not cleaned:
            return None
        shown = display_text(text)
        return replace(clip, text=cleaned, text_original=shown, language=language, label=None)

    def _without_repeats(self, clips: Sequence[Clip]) -> list[Clip]:
        """Each clip once: CiCo's pickle of PHOENIX-2014T's validation split holds the training split, too."""
        splits: dict[str, set[str]] = {}
        for clip in clips:
            splits.setdefault(clip.video_id, set()).add(clip.split)
        both = next((name for name, found in splits.items() if {"train", "test"} <= found), None)
        if both is not None:
            raise InputError(f"'{both}' is in the training and in the test split")
        kept: dict[str, Clip] = {}
        for clip in clips:
            if clip.split == "validation" and len(splits[clip.video_id]) > 1:
                self._leave_out(clip, IN_TRAINING)
            else:
                kept.setdefault(clip.video_id, clip)
        return list(kept.values())

    def _with_text_id(self, clip: Clip) -> Clip:
        if clip.split == "train":
            return replace(clip, text_id=text_id_of(clip.text), label=None)
        said = self.sentences.get(clip.video_id)
        sentence = said.sentence if said else self.recipe.sentence_of(clip.video_id)
        return replace(clip, text_id=text_id_of(f"{sentence}\n{clip.text}"), label=None)

    def _leave_out(self, clip: Clip, reason: str) -> None:
        self.left_out.append({"video_id": clip.video_id, "path": clip.path, "reason": reason})

    def _why(self) -> str:
        reasons = Counter(row["reason"] for row in self.left_out)
        told = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        return f": {told}" if told else ""


def hold_out(clips: Sequence[Clip], share: float, seed: int) -> list[Clip]:
    """Move a part of the training texts, one at least, to the validation split; their clips go with them."""
    texts = sorted({clip.text for clip in clips if clip.split == "train"})
    order = sorted(texts, key=lambda text: hashlib.sha256(f"{seed}/{text}".encode()).digest())
    chosen = set(order[: max(1, round(share * len(order)))]) if len(order) > 1 else set()
    return [
        replace(clip, split="validation") if clip.split == "train" and clip.text in chosen else clip
        for clip in clips
    ]


def sizes_of(clips: Iterable[Clip]) -> dict[str, dict[str, int]]:
    """Texts and videos of each split."""
    texts: dict[str, set[str]] = {}
    videos: Counter[str] = Counter()
    for clip in clips:
        texts.setdefault(clip.split, set()).add(clip.text_id)
        videos[clip.split] += 1
    return {split: {"texts": len(texts[split]), "videos": videos[split]} for split in sorted(videos)}
