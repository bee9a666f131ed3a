"""`cico bench` compares the same mathematics, in turns, and says what it could not measure."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import cico_platform
from cico_model import SignEncoder, retrieval_loss, score_matrix
from cico_platform.benchmarks.interleave import Measured, Side, interleave
from cico_platform.benchmarks.material import QUICK, drawn_encoder
from cico_platform.benchmarks.plain import checkout, load_plain
from cico_platform.benchmarks.rows import make_row
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.similarity_sides import draw_test_set
from cico_platform.cli.bench import app
from cico_platform.errors import InputError

TRAINING = "cico_platform.benchmarks.similarity_sides:our_training"
STEP = "cico_platform.benchmarks.step_sides"


@pytest.fixture(scope="module")
def tokens() -> tuple[torch.Tensor, ...]:
    values = {"videos": 6, "texts": 6, "width": 16}
    return draw_test_set(Task(folder=Path(), threads=1, seed=3, values=values))


def test_the_plain_network_says_what_ours_says() -> None:
    encoder: SignEncoder = drawn_encoder(5, QUICK, seed=1)
    plain = load_plain("plain_sign_encoder")
    network = plain.PlainI3D(5, QUICK.width, QUICK.frame_size)
    network.load_state_dict(encoder.state_dict())
    clips = torch.rand(3, 3, 16, QUICK.frame_size, QUICK.frame_size) - 0.5
    scores, features = plain.encode(network.eval(), clips)
    with torch.no_grad():
        ours = encoder(clips)
    torch.testing.assert_close(features, ours.embedding, atol=1e-5, rtol=0)
    torch.testing.assert_close(scores, ours.logits, atol=1e-5, rtol=0)


def test_the_plain_scores_are_ours(tokens: tuple[torch.Tensor, ...]) -> None:
    plain = load_plain("plain_similarity").score(*tokens, block=4)
    torch.testing.assert_close(plain, score_matrix(*tokens), atol=1e-6, rtol=0)


def test_the_plain_loss_has_our_gradient(tokens: tuple[torch.Tensor, ...]) -> None:
    videos, texts, video_valid, text_valid = tokens
    grads = []
    for loss in (load_plain("plain_similarity").retrieval_loss, retrieval_loss):
        leaves = [videos.clone().requires_grad_(), texts.clone().requires_grad_(), torch.tensor(2.0)]
        value = loss(*leaves[:2], video_valid, text_valid, logit_scale=leaves[2].requires_grad_())
        value.backward()
        grads.append([value.detach(), *(leaf.grad for leaf in leaves)])
    for plain, ours in zip(*grads, strict=True):
        torch.testing.assert_close(plain, ours, atol=1e-6, rtol=0)


def test_without_a_checkout_it_says_where_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cico_platform, "__file__", str(tmp_path / "a" / "b" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="checkout"):
        checkout()


def test_a_side_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    good = Task(folder=tmp_path, threads=1, seed=0, values={"batch": 4, "width": 8})
    bad = good.model_copy(update={"values": {"batch": "none", "width": 8}})
    told: list[str] = []
    found = interleave([Side("bad", TRAINING, bad), Side("good", TRAINING, good)], 2, told.append)
    assert found["bad"].failure
    assert not found["bad"].seconds
    assert any(line.startswith("  bad: ") and found["bad"].failure in line for line in told)
    assert len(found["good"].seconds) == 2
    assert found["good"].memory["peak"] > found["good"].memory["extra"] >= 0
    assert found["good"].outputs["grad_videos"].shape == (4, 65, 8)


def test_a_ratio_above_one_means_ours_is_better() -> None:
    plain, ours = (Measured(seconds=[s], memory={"extra": 1.0, "peak": 2.0}) for s in (6.0, 2.0))
    assert make_row("time", "", plain, ours)["ratio"] == 3.0
    row = make_row("rate", "", plain, ours, unit="windows/s", amounts=(12, 12))
    assert (row["ratio"], row["plain"]["median"], row["ours"]["median"]) == (3.0, 2.0, 6.0)


def test_a_side_that_was_not_run_is_absent_and_its_reason_told() -> None:
    ours = Measured(seconds=[1.0], memory={"extra": 1.0, "peak": 2.0})
    row = make_row("large", "", Measured(failure="would need about 21 GiB"), ours)
    assert row["skipped"] == {"plain": "would need about 21 GiB"}
    assert {"ratio", "plain", "difference"}.isdisjoint(row)
    assert row["memory_mib"] == {"ours": 1.0}


@pytest.mark.slow
def test_a_training_batch_takes_an_eighth_of_the_plain_ways_memory(tmp_path: Path) -> None:
    task = Task(folder=tmp_path, threads=2, seed=0, values={"batch": 192, "width": 512})
    sides = [Side(name, TRAINING.replace("our", name), task) for name in ("plain", "our")]
    found = interleave(sides, 2, lambda _: None)
    assert found["our"].memory["extra"] <= found["plain"].memory["extra"] / 8


@pytest.mark.slow
def test_two_passes_take_a_quarter_of_the_plain_steps_memory_and_have_its_gradient(tmp_path: Path) -> None:
    task = Task(folder=tmp_path, threads=1, seed=0, values={"batch": 256, "piece": 16, "towers": "small"})
    sides = [Side(name, f"{STEP}:{name}_step", task) for name in ("plain", "our")]
    found = interleave(sides, 1, lambda _: None)
    assert found["our"].memory["extra"] <= found["plain"].memory["extra"] / 4
    gradients = [torch.from_numpy(side.outputs["gradient"]) for side in found.values()]
    largest = float(gradients[0].abs().max())
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5 * largest)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "names"),
    [
        ("sign-encoder", ["float32", "bfloat16", "int8", "features-175", "mining-175"]),
        ("similarity", ["training-128", "training-512", "scoring", "two-pass-512"]),
    ],
)
def test_a_quick_run_gives_every_row(verb: str, names: list[str]) -> None:
    done = CliRunner().invoke(
        app, [verb, "--quick", "--json", "--repeats", "1", "--threads", "1", "--device", "cpu"]
    )
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert [row["name"] for row in report["rows"]] == names
    assert report["machine"]["threads"] == 1
    for row in report["rows"]:
        assert "skipped" not in row
        assert row["ratio"] > 0
        assert set(row["memory_mib"]) == {"plain", "ours"}
        assert row["difference"]["cosine"] >= 0.99
    assert report["rows"][0]["difference"]["max_abs"] <= 1e-4


@pytest.mark.slow
def test_a_quick_run_of_the_pipeline_gives_every_row() -> None:
    done = CliRunner().invoke(app, ["pipeline", "--quick", "--repeats", "1", "--json"])
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert [row["name"] for row in report["rows"]] == ["plain-loop", "two-workers", "resume"]
    for row in report["rows"]:
        assert "skipped" not in row
        assert row["ratio"] > 0
        assert row["difference"]["cosine"] >= 0.999


@pytest.mark.slow
def test_a_quick_run_of_training_gives_every_row_and_the_losses_of_the_plain_loop() -> None:
    done = CliRunner().invoke(app, ["training", "--quick", "--device", "cpu", "--repeats", "1", "--json"])
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["plain-loop-tiny", "one-thread-tiny", "two-workers-tiny"]
    for row in rows.values():
        assert "skipped" not in row
        assert row["ratio"] > 0
    assert rows["plain-loop-tiny"]["difference"]["max_abs"] <= 1e-5
    assert rows["two-workers-tiny"]["difference"]["cosine"] >= 0.999  # each worker draws its own dropout
