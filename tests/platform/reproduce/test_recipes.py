"""The recipes hold the paper's settings, and the table our figures beside those that were verified."""

import pytest

from cico_platform.config_files import resolve
from cico_platform.errors import InputError
from cico_platform.evaluation.published import KNOWN
from cico_platform.reproduce.differences import differences
from cico_platform.reproduce.figures import METHODS
from cico_platform.reproduce.recipes import RECIPES, Recipe, find_recipe
from cico_platform.reproduce.settings import ReproduceSettings
from cico_platform.reproduce.sources import Sources
from cico_platform.reproduce.table import as_markdown, make_table

SCORED = {known.format: {"texts": known.texts, "videos": known.videos} for known in KNOWN}
SPREAD = {
    way: {
        name: {"mean": 50.0 + number, "sd": 0.5, "interval": [49.0, 51.0]}
        for number, name in enumerate(("R@1", "R@5", "R@10", "MedR", "MeanR"))
    }
    for way in ("t2v", "v2t")
}


def told(recipe: Recipe, settings: ReproduceSettings, **corpus: object) -> list[str]:
    about = {"splits": {}, "reasons": {}, "held_out": False, **corpus}
    return differences(recipe, settings, Sources(), about, SCORED[recipe.format])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_settings_are_the_papers(recipe: Recipe) -> None:
    settings = ReproduceSettings.of(recipe)
    training, adaptation, mining = settings.training, settings.adaptation, settings.mining
    assert (training.size, training.epochs, training.batch_size, training.lr) == ("paper", 200, 512, 1e-5)
    assert (training.optimizer, training.warmup, training.weight_decay) == ("published", 0.1, 1e-3)
    assert (training.design, training.weight, training.temperature) == ("balance", 0.5, 0.07)
    assert (training.augment, training.augment_kind, training.evaluate_every) == (0.5, "swap", 1)
    assert training.alpha == (0.9 if recipe.name == "phoenix2014t" else 0.8)
    assert (adaptation.size, adaptation.epochs, adaptation.lr, adaptation.schedule) == (
        "paper", 15, 1e-2, "steps",
    )  # fmt: skip
    assert (adaptation.optimizer, adaptation.flip, adaptation.dropout) == ("sgd", 0.5, 0.5)
    assert (mining.threshold, mining.drop_within, mining.stride) == (0.6, 24, 1)
    assert (settings.features.stride, settings.features.windows) == (1, 64)
    assert settings.seeds == 3
    assert settings.texts == ("original" if recipe.name == "how2sign" else "translated")


def test_settings_are_overridden_by_their_names() -> None:
    base = ReproduceSettings.of(RECIPES["how2sign"])
    settings = resolve(base, None, ["training.epochs=1", "adaptation.run.workers=0", "mining.threshold=0.1"])
    assert (settings.training.epochs, settings.training.alpha) == (1, 0.8)
    assert (settings.adaptation.run.workers, settings.mining.threshold) == (0, 0.1)
    with pytest.raises(InputError, match=r"training\.epoch"):
        resolve(base, None, ["training.epoch=1"])


def test_an_unknown_recipe_is_told_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no recipe 'bobsl'; known are how2sign, phoenix2014t, csl-daily"):
        find_recipe("bobsl")


@pytest.mark.parametrize(
    ("recipe", "clip", "sentence"),
    [
        ("how2sign", "8kAWy2YodzQ_16_17_18-5-rgb_front", "8kAWy2YodzQ_16_17_18"),
        ("how2sign", "-g0iPSnQt6w_10-1-rgb_front", "-g0iPSnQt6w_10"),
        ("phoenix2014t", "25October_2010_Monday_tagesschau-17", "25October_2010_Monday_tagesschau-17"),
        ("csl-daily", "S000020_P0004_T00", "S000020"),
        ("csl-daily", "something else", "something else"),
    ],
)
def test_a_clips_name_tells_its_sentence(recipe: str, clip: str, sentence: str) -> None:
    assert RECIPES[recipe].sentence_of(clip) == sentence


def test_every_published_figure_has_two_sources_and_what_lacks_is_told() -> None:
    assert [method.name for method in METHODS] == ["CiCo", "UPRet", "SEDS", "C2RL"]
    for method in METHODS:
        assert bool(method.r1) == bool(method.checked_in)
        complete = all(len(method.r1.get(name, {})) == 2 for name in RECIPES)
        assert complete or method.left_out
        assert " and " in method.checked_in or not method.r1
    cico = METHODS[0].r1
    assert cico["how2sign"] == {"t2v": 56.6, "v2t": 51.6}
    assert cico["phoenix2014t"] == {"t2v": 69.5, "v2t": 70.2}
    assert cico["csl-daily"] == {"t2v": 75.3, "v2t": 74.7}


def test_the_table_has_ours_beside_the_published() -> None:
    recipe = RECIPES["phoenix2014t"]
    notes = told(recipe, ReproduceSettings.of(recipe))
    table = make_table(recipe, SCORED[recipe.format], SPREAD, [0, 1, 2], notes)
    lines = as_markdown(table).splitlines()
    assert lines[0] == "**PHOENIX-2014T, test: 642 texts, 642 videos**"
    assert "| CiCo | 69.5 | – | – | – | 70.2 | – | – | – |" in lines
    assert "| UPRet | 72.0 | – | – | – | – | – | – | – |" in lines
    assert "| SEDS | – | – | – | – | – | – | – | – |" in lines
    ours = "| 50.0 ± 0.5 | 51.0 ± 0.5 | 52.0 ± 0.5 | 53 ± 0.5 "
    assert f"| ours, mean of 3 seeds {ours}{ours}|" in lines
    assert any("SEDS: its figures were not found in two places" in line for line in lines)
    as_json = table.as_json()
    assert as_json["rows"][-1]["t2v"]["R@1"] == {"value": 50.0, "sd": 0.5, "interval": (49.0, 51.0)}
    assert [row["published"] for row in as_json["rows"]] == [True] * 4 + [False]


def test_the_notes_name_what_differs() -> None:
    how2sign, phoenix = RECIPES["how2sign"], RECIPES["phoenix2014t"]
    published = ReproduceSettings.of(phoenix)
    notes = told(phoenix, published)
    assert any("best on the validation split" in note for note in notes)
    assert any("`dev` of PHOENIX-2014T holds the training split" in note for note in notes)
    assert any("machine translations into English, as in the paper" in note for note in notes)
    assert not any("not the paper's" in note for note in notes)
    assert not any("PHOENIX" in note for note in told(how2sign, ReproduceSettings.of(how2sign)))

    changed = resolve(published, None, ["training.epochs=1", "texts=original", "training.run.workers=2"])
    notes = told(phoenix, changed, held_out=True, reasons={"no box": 4})
    assert "Settings that are not the paper's: training.epochs=1." in notes
    assert any("texts are the corpus' own" in note for note in notes)
    assert any("5% of the training texts are the validation split" in note for note in notes)
    assert "4 clips were left out: no box." in notes
    scored = {"texts": 630, "videos": 642}
    notes = differences(phoenix, published, Sources(), {"reasons": {}, "held_out": False}, scored)
    assert any("630 texts and 642 videos were scored" in note for note in notes)
