"""The demo's corpus: drawn by code, or a person's own clips, composed into sentences where they are words."""

from pathlib import Path

from cico_platform.corpus.compose import ComposeSettings, compose_sentences
from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.corpus.synthesis import SynthesisSettings, synthesize
from cico_platform.demo.places import Places
from cico_platform.demo.recipes import drawn
from cico_platform.demo.settings import CorpusKind, DemoSettings
from cico_platform.errors import InputError
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary


def check_inputs(settings: DemoSettings) -> None:
    """Refuse a call that names only one of videos and labels, a missing file, or a contradiction.

    Raises
    ------
    InputError
        Saying which.
    """
    if (settings.videos is None) != (settings.labels is None):
        raise InputError(
            "--videos and --labels belong together: a folder of videos, and a table that names them"
        )
    others = {
        "--videos": settings.videos is not None,
        "--encoder": settings.encoder is not None,
        "--from-scratch": settings.from_scratch,
        "--variants all": settings.variants == "all",
        "--small": settings.small,
    }
    given = [name for name, is_given in others.items() if is_given]
    if settings.quick and given:
        raise InputError(f"--quick trains nothing and draws its own clips: it does not go with {given[0]}")
    if settings.from_scratch and settings.encoder is not None:
        raise InputError("--from-scratch trains the sign encoder that --encoder would give; say one of them")
    if settings.videos is not None and not settings.videos.is_dir():
        raise InputError(f"'{settings.videos}' is not a folder of videos")
    if settings.labels is not None and not settings.labels.is_file():
        raise InputError(
            f"'{settings.labels}' is not a file; --labels takes a CSV with the columns file and text"
        )


def draw(settings: DemoSettings, places: Places, on_progress: OnProgress | None = None) -> Summary:
    """Draw the synthetic corpus: sentences, and where it is trained on, a dictionary by other signers."""
    return synthesize(places.corpus, drawn(settings), on_progress)


def draw_dictionary(settings: DemoSettings, places: Places, on_progress: OnProgress | None = None) -> Summary:
    """Draw the synthetic dictionary alone."""
    sizes = SynthesisSettings.small if settings.small else SynthesisSettings
    alone = {"train": 0, "validation": 0, "test": 0}
    return synthesize(places.dictionary, sizes(seed=settings.seed).model_copy(update=alone), on_progress)


def read(settings: DemoSettings, places: Places, on_progress: OnProgress | None = None) -> Summary:
    """Read a person's own clips; what cannot be used is quarantined."""
    assert settings.labels is not None
    reading = ReadSettings(seed=settings.seed)
    return read_corpus(
        settings.labels, places.source, videos=settings.videos, settings=reading, on_progress=on_progress
    )


def compose(settings: DemoSettings, places: Places, on_progress: OnProgress | None = None) -> Summary:
    """Compose sentences from isolated clips: some to train on, others, unseen, to test on."""
    few = {"train": 24, "validation": 6, "test": 8, "takes": 1} if settings.small else {}
    return compose_sentences(
        places.source, places.corpus, ComposeSettings(seed=settings.seed, **few), on_progress
    )


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
    source = Corpus(corpus)
    test = source.sentences("test", ["text_id"])
    if not len(test) or not source.count("train"):
        raise InputError(
            f"'{corpus}' needs sentences to train on and to test on; give more clips, or a split column"
        )
    return len(test["text_id"].unique()), len(test)
