"""The demo's corpus: drawn by code, or a person's own clips, composed into sentences where they are words."""

from pathlib import Path

from cico_platform.corpus.compose import ComposeSettings, compose_sentences
from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.corpus.synthesis import SynthesisSettings, synthesize
from cico_platform.demo.places import Places
from cico_platform.demo.settings import CorpusKind, DemoSettings
from cico_platform.errors import InputError
from cico_platform.steps import Summary


def check_inputs(settings: DemoSettings) -> None:
    """Refuse a call that names only one of videos and labels, or something that is not there.

    Raises
    ------
    InputError
        Saying which.
    """
    if (settings.videos is None) != (settings.labels is None):
        raise InputError(
            "--videos and --labels belong together: a folder of videos, and a table that names them"
        )
    if settings.videos is not None and not settings.videos.is_dir():
        raise InputError(f"'{settings.videos}' is not a folder of videos")
    if settings.labels is not None and not settings.labels.is_file():
        raise InputError(
            f"'{settings.labels}' is not a file; --labels takes a CSV with the columns file and text"
        )


def draw(settings: DemoSettings, places: Places) -> Summary:
    """Draw the synthetic corpus: a dictionary of isolated signs, and sentences by other signers."""
    return synthesize(places.corpus, _size(settings))


def draw_dictionary(settings: DemoSettings, places: Places) -> Summary:
    """Draw the synthetic dictionary alone."""
    alone = {"train": 0, "validation": 0, "test": 0}
    return synthesize(places.dictionary, _size(settings).model_copy(update=alone))


def _size(settings: DemoSettings) -> SynthesisSettings:
    return SynthesisSettings.small(settings.seed) if settings.small else SynthesisSettings(seed=settings.seed)


def read(settings: DemoSettings, places: Places) -> Summary:
    """Read a person's own clips; what cannot be used is quarantined."""
    assert settings.labels is not None
    return read_corpus(
        settings.labels, places.source, videos=settings.videos, settings=ReadSettings(seed=settings.seed)
    )


def compose(settings: DemoSettings, places: Places) -> Summary:
    """Compose sentences from isolated clips: some to train on, others, unseen, to test on."""
    few = {"train": 24, "validation": 6, "test": 8, "takes": 1} if settings.small else {}
    return compose_sentences(places.source, places.corpus, ComposeSettings(seed=settings.seed, **few))


def kind_of(settings: DemoSettings, read_summary: Summary | None) -> CorpusKind:
    """Which of the three ways the demo goes."""
    if read_summary is None:
        return "synthetic"
    return "words" if read_summary.details["isolated"] else "sentences"


def count_test(corpus: Path) -> tuple[int, int]:
    """Texts and videos of the test split.

    Raises
    ------
    InputError
        If training or test has no sentence.
    """
    clips = Corpus(corpus).clips(labelled=False)
    test = [clip for clip in clips if clip.split == "test"]
    if not test or all(clip.split != "train" for clip in clips):
        raise InputError(
            f"'{corpus}' needs sentences to train on and to test on; give more clips, or a split column"
        )
    return len({clip.text_id for clip in test}), len(test)
