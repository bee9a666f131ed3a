"""The demo's smaller parts: what it refuses, what it plans, what it shows."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from cico_platform.demo.corpora import check_inputs
from cico_platform.demo.recipes import drawn, enough, recipe
from cico_platform.demo.run import count_stages
from cico_platform.demo.settings import VARIANTS, DemoSettings, chosen_variants
from cico_platform.errors import InputError
from cico_platform.observability.memory import PeakMemory, tree_memory_bytes
from cico_platform.observability.stage_display import StageDisplay, describe
from cico_platform.steps import Summary


def test_videos_and_labels_belong_together(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,text\n")
    check_inputs(DemoSettings())
    check_inputs(DemoSettings(videos=tmp_path, labels=labels))
    for wrong in (
        DemoSettings(videos=tmp_path),
        DemoSettings(labels=labels),
        DemoSettings(videos=tmp_path / "nowhere", labels=labels),
        DemoSettings(videos=tmp_path, labels=tmp_path / "nowhere.csv"),
    ):
        with pytest.raises(InputError):
            check_inputs(wrong)


@pytest.mark.parametrize(
    "other", [{"from_scratch": True}, {"variants": "all"}, {"small": True}, {"encoder": "e"}]
)
def test_quick_goes_with_nothing_that_trains(other: dict[str, object]) -> None:
    with pytest.raises(InputError, match="--quick trains nothing"):
        check_inputs(DemoSettings.model_validate({"quick": True, **other}))


def test_an_encoder_is_either_given_or_trained() -> None:
    with pytest.raises(InputError, match="--from-scratch"):
        check_inputs(DemoSettings(from_scratch=True, encoder=Path("encoder")))


def test_by_default_two_variants_are_trained_and_no_dictionary_is_drawn() -> None:
    settings = DemoSettings()
    assert [variant.name for variant in chosen_variants(settings.variants)] == ["domain_aware", "augmented"]
    assert drawn(settings).dictionary_signers == 0
    assert not recipe("synthetic", settings).adaptation.with_dictionary
    assert drawn(DemoSettings(quick=True)).train == 0


def test_from_scratch_draws_a_dictionary_and_uses_every_window() -> None:
    settings = DemoSettings(from_scratch=True, variants="all")
    plan = recipe("synthetic", settings)
    assert (drawn(settings).dictionary_signers, drawn(settings).train) == (16, 800)
    assert (plan.mining.stride, plan.features.stride, plan.adaptation.with_dictionary) == (1, 1, True)
    assert [variant.name for variant in chosen_variants("all")] == [variant.name for variant in VARIANTS]


def test_what_is_mined_can_be_used_again_as_features() -> None:
    for settings in (DemoSettings(), DemoSettings(from_scratch=True)):
        plan = recipe("synthetic", settings)
        assert plan.mining.encoding({}) == plan.features.encoding({})


def test_the_display_counts_the_stages_that_there_are() -> None:
    assert count_stages(DemoSettings()) == 9
    assert count_stages(DemoSettings(variants="all")) == 11
    assert count_stages(DemoSettings(quick=True)) == 5


def test_each_variant_adds_one_part_of_the_method() -> None:
    plan = recipe("synthetic", DemoSettings(seed=3))
    settings = [plan.retrieval(variant, domain_aware=True) for variant in VARIANTS]
    assert [s.alpha for s in settings] == [1.0, plan.alpha, plan.alpha, plan.alpha]
    assert [s.pooling for s in settings] == ["mean", "mean", "fine", "fine"]
    assert [s.augment > 0 for s in settings] == [False, False, False, True]
    assert {s.seed for s in settings} == {3}


def test_without_a_second_encoder_every_variant_takes_the_first_alone() -> None:
    plan = recipe("sentences", DemoSettings())
    assert all(plan.retrieval(variant, domain_aware=False).alpha == 1.0 for variant in VARIANTS)
    assert not plan.adaptation.with_dictionary


def test_too_few_pseudo_labels_are_not_adapted_to() -> None:
    assert not enough(10, 3, small=False)
    assert not enough(1000, 1, small=False)
    assert enough(1000, 50, small=False)


def test_without_a_terminal_stages_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    with StageDisplay(Console(file=text, width=80), total=2) as display:
        with display.stage("First") as (advance, finish):
            advance(1, 2)
            finish(Summary(done=2, quarantined=1, seconds=3.2))
        with display.stage("Second") as (_, finish):
            finish(Summary(skipped=2))
    assert text.getvalue().split("\n")[:4] == [
        "[1/2] First",
        "      2 done in 3 s, 1 quarantined",
        "[2/2] Second",
        "      already finished, not repeated",
    ]
    assert describe(Summary(done=1, skipped=1, seconds=1)) == "1 done in 1 s, 1 skipped"

    monkeypatch.setattr("cico_platform.observability.pace.LINE_EVERY_SECONDS", 0.0)
    text = io.StringIO()
    with (
        StageDisplay(Console(file=text, width=80), total=1) as display,
        display.stage("Long") as (advance, _),
    ):
        advance(3, 10)
        advance(4, 10, quarantined=1, note="loss [2.5]")
    first, then = text.getvalue().splitlines()[1:]
    assert first == "      3/10 0:00:00 passed"
    assert then.startswith("      4/10 loss [2.5], ")
    assert then.endswith(" left, 1 quarantined")


def test_peak_memory_sees_what_was_held_for_a_while() -> None:
    before = sum(tree_memory_bytes().values())
    with PeakMemory() as peak:
        held = bytearray(b"x") * (300 << 20)
        import time

        time.sleep(2.5)
        assert len(held) == 300 << 20
    assert peak.gib * (1 << 30) > before + (200 << 20)
    assert sum(peak.by_title.values()) == pytest.approx(peak.gib, abs=0.01)
