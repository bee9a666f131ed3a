"""The screenplay: who signs what in which split; fixed by the settings before anything is drawn."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from cico_platform.corpus.manifest import Split
from cico_platform.corpus.synthesis.cast import Domain, Signer, signer
from cico_platform.corpus.synthesis.english import write
from cico_platform.corpus.synthesis.filming import Take, generator
from cico_platform.corpus.synthesis.grammar import Chooser, Meaning, neighbour, random_meaning
from cico_platform.corpus.synthesis.lexicon import GLOSSES
from cico_platform.settings import Settings


class SynthesisSettings(Settings):
    """How large a synthetic corpus is; everything else follows from the seed.

    Attributes
    ----------
    seed
        Decides signers, sentences and noise. The signs themselves are the same for every seed.
    dictionary_signs
        How many signs of the lexicon the dictionary shows, from its start; sentences may use all of them.
    dictionary_signers, dictionary_validation_signers
        People of the dictionary, of whom the last ones are the validation split; without people there is no
        dictionary, and the sentences are the same.
    train, validation, test
        Sentences of each split. With none in any, the dictionary is drawn alone, and is the same.
    signers
        Signers of the training sentences; the other splits have `held_out_signers` each.
    second_takes
        Part of the training sentences which a second signer signs too.
    """

    seed: int = 0
    dictionary_signs: int = Field(len(GLOSSES), ge=1, le=len(GLOSSES))
    dictionary_signers: int = Field(16, ge=0)
    dictionary_validation_signers: int = Field(2, ge=1)
    train: int = Field(800, ge=0)
    validation: int = Field(100, ge=0)
    test: int = Field(200, ge=0)
    signers: int = Field(10, ge=1)
    held_out_signers: int = Field(4, ge=1)
    second_takes: float = Field(0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _has_clips(self) -> Self:
        if not (self.dictionary_signers or self.train or self.validation or self.test):
            raise ValueError("there is nothing to draw: neither signers of a dictionary nor sentences")
        return self

    @classmethod
    def small(cls, seed: int = 0) -> "SynthesisSettings":
        """A corpus of a few dozen clips, for tests and first steps."""
        return cls(
            seed=seed, dictionary_signs=8, dictionary_signers=3, dictionary_validation_signers=1, train=6,
            validation=2, test=4, signers=2, held_out_signers=1, second_takes=0.2,
        )  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One clip to be made: the take, and what the manifest says of it."""

    take: Take
    split: Split
    text_id: str
    text: str
    text_original: str
    label: str | None


@dataclass(frozen=True)
class _Sentence:
    meaning: Meaning
    text: str
    original: str


def _written(meaning: Meaning, rng: np.random.Generator) -> _Sentence:
    return _Sentence(meaning, *write(meaning, rng))


def _hard_set(count: int, chooser: Chooser, taken: set[tuple[str, ...]], texts: set[str]) -> list[_Sentence]:
    """Sentences in families whose members differ in one sign or in who does what; none was `taken` before."""
    sentences: list[_Sentence] = []
    family: list[Meaning] = []
    while len(sentences) < count:
        if family and len(family) < 3:
            meaning = neighbour(family[int(chooser.rng.integers(len(family)))], chooser)
        else:
            meaning, family = random_meaning(chooser), []
        sentence = _written(meaning, chooser.rng)
        if meaning.glosses() in taken or sentence.text in texts:
            continue
        taken.add(meaning.glosses())
        texts.add(sentence.text)
        chooser.note(meaning.glosses())
        family.append(meaning)
        sentences.append(sentence)
    return sentences


def _training_set(
    count: int, rng: np.random.Generator, held: set[tuple[str, ...]], texts: set[str]
) -> list[_Sentence]:
    """Training sentences; a twelfth of them repeat the signs of another in other words."""
    chooser = Chooser(rng)
    sentences: list[_Sentence] = []
    seen: set[tuple[str, ...]] = set()
    tries = 0
    while len(sentences) < count:
        tries += 1
        again = sentences and tries % 12 == 0
        meaning = sentences[int(rng.integers(len(sentences)))].meaning if again else random_meaning(chooser)
        glosses = meaning.glosses()
        sentence = _written(meaning, rng)
        if glosses in held or sentence.text in texts or (glosses in seen and not again):
            continue
        seen.add(glosses)
        texts.add(sentence.text)
        chooser.note(glosses)
        sentences.append(sentence)
    return sentences


def _sentences(settings: SynthesisSettings) -> dict[Split, list[_Sentence]]:
    """All sentences by split; signs that training lacks (in tiny corpora) are not held against it."""
    held: set[tuple[str, ...]] = set()
    texts: set[str] = set()
    test = _hard_set(settings.test, Chooser(generator(settings.seed, "test")), held, texts)
    validation = _hard_set(settings.validation, Chooser(generator(settings.seed, "validation")), held, texts)
    train = _training_set(settings.train, generator(settings.seed, "train"), held, texts)
    return {"train": train, "validation": validation, "test": test}


def _cast(settings: SynthesisSettings, domain: Domain, split: Split, count: int) -> list[Signer]:
    names = [f"{domain}-{split}-{number:02d}" for number in range(count)]
    return [signer(name, domain, split, generator(settings.seed, "cast", name)) for name in names]


def _dictionary(settings: SynthesisSettings) -> list[Shot]:
    # At least one person stays in the training split.
    held = max(0, min(settings.dictionary_validation_signers, settings.dictionary_signers - 1))
    people = [
        *_cast(settings, "dictionary", "train", settings.dictionary_signers - held),
        *_cast(settings, "dictionary", "validation", held),
    ]
    shots = []
    for who in people:
        for gloss in GLOSSES[: settings.dictionary_signs]:
            name = f"{who.name}-{gloss.lower()}"
            words = gloss.lower().replace("-", " ")
            take = Take(name, (gloss,), who, settings.seed)
            shots.append(
                Shot(take, who.split, f"sign-{gloss.lower()}", words, words.capitalize(), gloss.lower())
            )
    return shots


def _target(settings: SynthesisSettings) -> list[Shot]:
    shots = []
    for split, sentences in _sentences(settings).items():
        people = _cast(
            settings, "target", split, settings.signers if split == "train" else settings.held_out_signers
        )
        rng = generator(settings.seed, "casting", split)
        for number, sentence in enumerate(sentences):
            twice = split == "train" and len(people) > 1 and rng.random() < settings.second_takes
            chosen = rng.permutation(len(people))[: 2 if twice else 1]
            text_id = f"{split}-{number:04d}"
            for take_number, index in enumerate(chosen):
                name = text_id if take_number == 0 else f"{text_id}-again"
                take = Take(name, sentence.meaning.glosses(), people[int(index)], settings.seed)
                shots.append(Shot(take, split, text_id, sentence.text, sentence.original, None))
    return shots


def screenplay(settings: SynthesisSettings) -> list[Shot]:
    """Every clip of the corpus, dictionary first."""
    return _dictionary(settings) + _target(settings)
