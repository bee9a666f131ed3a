"""What differs from the published procedure, in sentences for the table's notes (method, quirks)."""

from collections.abc import Mapping
from typing import Any

from cico_platform.evaluation.published import KNOWN
from cico_platform.reproduce.recipes import Recipe
from cico_platform.reproduce.settings import ReproduceSettings
from cico_platform.reproduce.sources import Sources

ALWAYS = (
    "The model of each seed is that of the epoch which is best on the validation split; the published one is "
    "that of the epoch which is best on the test split.",
    "Padding takes no part in the similarities; in the published training and evaluation it does.",
    "An epoch passes over all videos, and no batch holds a text twice; the published one takes one video of "
    "each sentence, and leaves the last, smaller batch out.",
    "The gradient is that of the whole batch for any number of workers; the published towers' is divided by "
    "the number of workers.",
    "A candidate that ties with the right one shares its rank; the published ranks of ties count twice "
    "(T2V) or depend on the order (V2T).",
    "A pseudo-label is extended by windows near it; in the published code they extend the first one of its "
    "class and video.",
)
PHOENIX = (
    "CiCo's published `dev` of PHOENIX-2014T holds the training split as well: the validation split here is "
    "that of the official tables.",
    "The published training on PHOENIX-2014T reads domain-agnostic features for both streams; here the "
    "second stream is domain-aware.",
)


def differences(
    recipe: Recipe,
    settings: ReproduceSettings,
    sources: Sources,
    corpus: Mapping[str, Any],
    scored: Mapping[str, int],
) -> list[str]:
    """Sentences on what differs from the published procedure.

    Parameters
    ----------
    corpus
        Details of the step that made the corpus: `splits`, `reasons`, `held_out`.
    scored
        `texts` and `videos` of the test split that were scored.
    """
    notes = list(ALWAYS)
    if recipe.name == "phoenix2014t":
        notes += PHOENIX
    notes += [*_texts(recipe, settings), *_splits(recipe, settings, corpus, scored), *_boxes(recipe, sources)]
    notes += [f"{count} clips were left out: {reason}." for reason, count in corpus["reasons"].items()]
    return notes + _changed(ReproduceSettings.of(recipe), settings)


def _texts(recipe: Recipe, settings: ReproduceSettings) -> list[str]:
    if recipe.texts == "original":
        return []
    if settings.texts == "original":
        return [
            "The texts are the corpus' own; the published figures are on CiCo's machine translations into "
            "English, on which CLIP's text tower was trained."
        ]
    return ["The texts are CiCo's machine translations into English, as in the paper."]


def _splits(
    recipe: Recipe, settings: ReproduceSettings, corpus: Mapping[str, Any], scored: Mapping[str, int]
) -> list[str]:
    notes = []
    known = next(known for known in KNOWN if known.format == recipe.format)
    if (scored["texts"], scored["videos"]) != (known.texts, known.videos):
        notes.append(
            f"{scored['texts']} texts and {scored['videos']} videos were scored, in the paper "
            f"{known.texts} and {known.videos}: ours and the published figures are of different tasks."
        )
    if corpus["held_out"]:
        notes.append(
            f"There is no validation split with such texts: {settings.validation_share:.0%} of the training "
            "texts are the validation split, and are not trained on."
        )
    return notes


def _boxes(recipe: Recipe, sources: Sources) -> list[str]:
    without = [
        table.name
        for table in sources.tables
        if recipe.boxed and table.format == recipe.format and not table.boxed
    ]
    if not without:
        return []
    return [f"No signers' boxes were found for: {', '.join(without)}. There, the signer was searched for."]


def _changed(published: ReproduceSettings, settings: ReproduceSettings) -> list[str]:
    """One sentence on settings that were changed, if any that decides results was."""
    changes: list[str] = []
    for name in ("mining", "adaptation", "features", "training"):
        before, after = getattr(published, name).decisive(), getattr(settings, name).decisive()
        changes += [f"{name}.{key}={value}" for key, value in after.items() if value != before[key]]
    if settings.seeds != published.seeds:
        changes.append(f"seeds={settings.seeds}")
    return [f"Settings that are not the paper's: {', '.join(changes)}."] if changes else []
