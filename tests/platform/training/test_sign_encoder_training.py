"""A sign encoder learns the dictionary, and goes on with pseudo-labels."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tiny_corpus import LABELS, MICRO, SIGN_FRAMES, write_encoder

from cico_model.checkpoint import load_sign_encoder
from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import InputError
from cico_platform.pipelines.mine import SEGMENTS_FILE, SEGMENTS_SCHEMA
from cico_platform.steps import Summary
from cico_platform.training.sign_encoder import SignEncoderSettings, train_sign_encoder

MICRO_SETTINGS = {
    "width": MICRO.width,
    "frame_size": MICRO.frame_size,
    "run": {"threads": 1},
    "batch_size": 8,
}
pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def trained(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    out = tmp_path_factory.mktemp("trained") / "encoder"
    settings = SignEncoderSettings(epochs=12, lr=2e-3, windows_per_sample=3, backdrop=0.0, **MICRO_SETTINGS)
    return out, train_sign_encoder(tiny_corpus, out, settings)


def test_it_knows_the_signs_of_a_signer_it_has_not_seen(trained: tuple[Path, Summary]) -> None:
    out, summary = trained
    assert (summary.done, summary.quarantined) == (20, 0)
    assert (summary.details["labels"], summary.details["samples"]) == (4, 16)
    assert summary.details["segments_left_out"] == 0
    assert summary.details["accuracy"] == 100.0
    history = json.loads((out / "history.json").read_text())
    assert [row["epoch"] for row in history] == list(range(1, 13))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    encoder, labels = load_sign_encoder(out)
    assert labels == LABELS
    assert encoder.config == MICRO
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json", "history.json", "labels.json", "model.safetensors", "step.json", "tensorboard",
    ]  # fmt: skip


def test_it_adapts_to_mined_segments_and_keeps_its_classifier(
    tiny_corpus: Path, trained: tuple[Path, Summary], tmp_path: Path
) -> None:
    rows = [
        {
            "video_id": clip.video_id,
            "label": sign,
            "start": place * SIGN_FRAMES,
            "end": (place + 1) * SIGN_FRAMES,
            "start_time": place * SIGN_FRAMES / 25,
            "end_time": (place + 1) * SIGN_FRAMES / 25,
            "confidence": 0.9,
            "support": 5.0,
        }
        for clip in Corpus(tiny_corpus).clips("train", labelled=False)
        for place, sign in enumerate(clip.text.split())
    ]
    doubtful = [{**row, "support": 1.0} for row in rows[:3]] + [
        {**row, "confidence": 0.1} for row in rows[:3]
    ]
    pq.write_table(pa.Table.from_pylist(rows + doubtful, schema=SEGMENTS_SCHEMA), tmp_path / SEGMENTS_FILE)
    settings = SignEncoderSettings(
        min_confidence=0.5,
        min_support=2.0,
        epochs=1,
        lr=1e-6,
        warmup=0.0,
        weight_decay=0.0,
        with_dictionary=False,
        **{**MICRO_SETTINGS, "run": {"workers": 0, "threads": 1}},
    )
    out = tmp_path / "adapted"
    summary = train_sign_encoder(tiny_corpus, out, settings, segments=tmp_path, init=trained[0])
    assert summary.quarantined == 2  # both damaged sentences
    quarantined = Corpus(tiny_corpus).quarantined("train-sign-encoder")
    assert [row["video_id"] for row in quarantined] == ["outside", "text"]
    assert all(row["reason"] for row in quarantined)
    assert summary.details["samples"] == len(rows) - 2
    (before, labels), (after, labels_after) = load_sign_encoder(trained[0]), load_sign_encoder(out)
    assert labels_after == labels
    old, new = before.logits.conv3d.weight, after.logits.conv3d.weight
    assert not torch.equal(old, new)
    torch.testing.assert_close(old, new, rtol=0, atol=1e-3)


def test_stored_samples_are_kept_and_taken_again_where_that_is_wanted(
    tiny_corpus: Path, trained: tuple[Path, Summary], tmp_path: Path
) -> None:
    run = {**MICRO_SETTINGS, "epochs": 1, "run": {"workers": 0, "threads": 1}, "backdrop": 0.0}
    samples = tmp_path / "samples"
    first = train_sign_encoder(tiny_corpus, tmp_path / "a", SignEncoderSettings(**run), samples=samples)
    shards = {path: path.stat().st_mtime_ns for path in samples.rglob("*.frames")}
    assert len(shards) >= 3
    again = train_sign_encoder(tiny_corpus, tmp_path / "b", SignEncoderSettings(**run), samples=samples)
    assert {path: path.stat().st_mtime_ns for path in samples.rglob("*.frames")} == shards
    assert again.details == first.details
    assert first.details["samples"] == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "samples"]
    assert not (tmp_path / "a" / "samples").exists()
    # Frames of another quality are other samples.
    changed = SignEncoderSettings(**run, quality=60)
    train_sign_encoder(tiny_corpus, tmp_path / "c", changed, samples=samples)
    assert set(shards).isdisjoint(samples.rglob("*.frames"))


def test_there_must_be_something_to_train_on(tiny_corpus: Path, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([], schema=SEGMENTS_SCHEMA), tmp_path / SEGMENTS_FILE)
    with pytest.raises(InputError, match="no segments to train on"):
        train_sign_encoder(tiny_corpus, tmp_path / "a", segments=tmp_path)
    with pytest.raises(InputError, match="--init takes a sign encoder"):
        train_sign_encoder(tiny_corpus, tmp_path / "b", init=tmp_path)
    with pytest.raises(InputError, match="workers can't share"):
        train_sign_encoder(tiny_corpus, tmp_path / "c", SignEncoderSettings(batch_size=2, run={"workers": 3}))


def test_a_fresh_classifier_is_made_for_other_signs(tmp_path: Path) -> None:
    from cico_platform.training.tasks.sign_encoder import SignEncoderRun, fresh_network

    start, _ = load_sign_encoder(write_encoder(tmp_path / "encoder"))
    run = SignEncoderRun(
        SignEncoderSettings(), MICRO, ["one", "two"], dict(start.state_dict()), False, samples="", held_out=""
    )
    network = fresh_network(run)
    assert network.num_classes == 2
    torch.testing.assert_close(network.Conv3d_1a_7x7.conv3d.weight, start.Conv3d_1a_7x7.conv3d.weight)
