"""Weights are found by name or by what they hold, and a dry run tells steps, costs and missing files."""

import json
from pathlib import Path

import pytest
import torch
from cico_command import Cico
from miniatures import how2sign, published_clip, published_encoder
from safetensors.torch import save_file

from cico_model.config import SIGN_ENCODERS
from cico_platform.errors import InputError
from cico_platform.pipelines.device_rates import device_rate, training_rates
from cico_platform.reproduce.costs import recipe_costs
from cico_platform.reproduce.recipes import RECIPES
from cico_platform.reproduce.settings import ReproduceSettings
from cico_platform.reproduce.weights import find_weights

TINY = {"classes": 7, "config": SIGN_ENCODERS["tiny"]}
SMALL_CLIP = {"layers": 1, "video_width": 64, "text_width": 64}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn weights, small, under the published names."""
    folder = tmp_path_factory.mktemp("weights")
    published_encoder(folder / "bsl5k.pth.tar", **TINY)  # type: ignore[arg-type]
    published_clip(folder / "ViT-B-32.pt", **SMALL_CLIP)
    return folder


def test_weights_are_found_by_their_published_names_unopened(tmp_path: Path) -> None:
    for name in ("bsl5k.pth.tar", "ViT-B-32.pt", "domain_aware.pth.tar"):
        (tmp_path / name).write_text("not opened")
    found = find_weights(tmp_path)
    assert (found.sign_encoder, found.clip) == (tmp_path / "bsl5k.pth.tar", tmp_path / "ViT-B-32.pt")
    assert not found.missing


def test_weights_of_other_names_are_found_by_what_they_hold(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "encoder.pth").write_bytes((weights / "bsl5k.pth.tar").read_bytes())
    state = torch.load(weights / "ViT-B-32.pt", weights_only=True)
    save_file(
        {name: value.contiguous() for name, value in state.items()}, tmp_path / "clip" / "a.safetensors"
    )
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.pt").write_text("no weights")
    found = find_weights(tmp_path)
    assert found.sign_encoder == tmp_path / "encoder.pth"
    assert found.clip == tmp_path / "clip" / "a.safetensors"
    (tmp_path / "encoder2.pth").write_bytes((weights / "bsl5k.pth.tar").read_bytes())
    with pytest.raises(InputError, match=r"several sign encoders: .*encoder\.pth.*encoder2\.pth"):
        find_weights(tmp_path)


def test_a_dry_run_tells_steps_costs_and_what_is_missing(cico: Cico, weights: Path, tmp_path: Path) -> None:
    root = how2sign(tmp_path / "root")
    (weights / "ViT-B-32.pt").rename(tmp_path / "clip.pt")
    arguments = ["reproduce", "how2sign", "--root", root, "--storage", tmp_path / "out", "--json"]
    try:
        found = cico(*arguments, "--weights", weights, "--dry-run", "--device", "a100", "--devices", 4)
    finally:
        (tmp_path / "clip.pt").rename(weights / "ViT-B-32.pt")
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert [step["name"] for step in told["steps"]] == [
        "import-encoder", "import-clip", "read-train", "read-validation", "read-test", "corpus", "mine",
        "adapt", "features", "train", "evaluate",
    ]  # fmt: skip
    assert not any(step["finished"] for step in told["steps"])
    assert told["rows"] == {"train": 8, "validation": 4, "test": 6}
    assert (told["device"], told["devices"]) == ("a100", 4)
    assert {"device_hours", "hours", "disk_gib"} <= set(told)
    needed = [file["what"] for file in told["missing"] if file["needed"]]
    assert len(needed) == 1
    assert "CLIP" in needed[0]
    assert not (tmp_path / "out").exists(), "nothing is written"
    for said in ("missing: ViT-B-32.pt", "read-validation", "4 x a100", "3 a clip"):
        assert said in found.stderr


def test_without_its_files_nothing_begins_and_all_are_named(cico: Cico, tmp_path: Path) -> None:
    found = cico(
        "reproduce",
        "csl-daily",
        "--root",
        tmp_path,
        "--weights",
        tmp_path / "no",
        "--storage",
        tmp_path / "out",
    )
    assert found.returncode == 2
    for said in ("bsl5k.pth.tar", "ViT-B-32.pt", "train split", "test split", "data_csl"):
        assert said in found.stderr.split("cannot be reproduced without")[1]
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_corpus_or_setting_is_told(cico: Cico, tmp_path: Path) -> None:
    given = ["--root", tmp_path, "--weights", tmp_path, "--dry-run"]
    assert "no recipe 'how3sign'" in cico("reproduce", "how3sign", *given).stderr
    found = cico("reproduce", "how2sign", *given, "--set", "training.epoch=1")
    assert found.returncode == 2
    assert "did you mean 'epochs'?" in found.stderr


def test_the_settings_can_be_printed_and_given_back(cico: Cico, tmp_path: Path) -> None:
    printed = cico("reproduce", "phoenix2014t", "--print-config")
    assert printed.returncode == 0, printed.stderr
    (tmp_path / "config.yaml").write_text(printed.stdout)
    given = ["--root", tmp_path, "--weights", tmp_path, "--dry-run", "--json"]
    found = cico("reproduce", "phoenix2014t", *given, "--config", tmp_path / "config.yaml")
    assert found.returncode == 0, found.stderr
    assert "alpha: 0.9" in printed.stdout


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_costs_are_those_of_the_published_corpus(recipe, cico: Cico) -> None:  # type: ignore[no-untyped-def]
    rate = device_rate("h100")
    costs = recipe_costs(recipe, ReproduceSettings.of(recipe), rate)
    train = recipe.sizes["train"]
    assert costs.of("mine").device_hours == pytest.approx(
        (train.frames - 15 * train.clips) / rate.windows / 3600, abs=0.01
    )
    pairs = train.clips * 200 * 3
    assert costs.of("train").device_hours == pytest.approx(
        pairs / training_rates(rate).pairs / 3600, abs=0.01
    )
    found = cico("plan", recipe.name, "--device", "h100", "--devices", "2", "--json")
    told = json.loads(found.stdout)
    assert told["device_hours"] == costs.device_hours
    assert told["hours"] == pytest.approx(costs.device_hours / 2, abs=0.01)
    assert "as published" in found.stderr


def test_costs_follow_what_is_there_and_what_was_mined() -> None:
    recipe, rate = RECIPES["how2sign"], device_rate("h100")
    settings = ReproduceSettings.of(recipe)
    whole, half = (
        recipe_costs(recipe, settings, rate, 1, rows)
        for rows in (None, {"train": 31_095 // 2, "validation": 0, "test": 0})
    )
    assert half.of("mine").device_hours == pytest.approx(whole.of("mine").device_hours / 2, abs=0.02)
    assert half.of("features").disk_gib < whole.of("features").disk_gib / 2
    counted = recipe_costs(recipe, settings, rate, segments=10 * whole.segments)
    assert counted.of("adapt").device_hours == pytest.approx(10 * whole.of("adapt").device_hours, rel=0.05)
    assert counted.segments_are_counted
    assert not whole.segments_are_counted


def test_a_plan_of_a_step_needs_hours(cico: Cico) -> None:
    found = cico("plan", "mine")
    assert found.returncode == 2
    assert "--hours" in found.stderr
